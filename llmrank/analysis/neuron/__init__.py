"""One neuron asked: its ranks, edges, contexts, tokens, and what it is worth."""

from llmrank.analysis.neuron.ablation import SMALL, Effect, LossChange, effect
from llmrank.analysis.neuron.contexts import Context, Firing, activations, firing
from llmrank.analysis.neuron.logit_lens import Promoted, TokenLogit, promoted
from llmrank.analysis.neuron.neuron import Neuron
from llmrank.analysis.neuron.ranking import Rank, ranks
from llmrank.analysis.neuron.selection import (
    MAX_NODES,
    Range,
    Selection,
    View,
    in_range,
    selection,
)
from llmrank.analysis.neuron.strongest_edges import Edge, Edges, Path, edges
from llmrank.analysis.neuron.strongest_paths import MAX_PATHS, Paths, paths
from llmrank.analysis.neuron.tokens import token_strings
