"""One neuron asked: its ranks, edges, contexts, tokens, and what it is worth."""

from llmrank.inspector.contexts import Context, Firing, activations, firing
from llmrank.inspector.lens import Promoted, TokenLogit, promoted
from llmrank.inspector.neuron import Neuron
from llmrank.inspector.removal import SMALL, Effect, LossChange, effect
from llmrank.inspector.standing import Rank, ranks
from llmrank.inspector.strongest import MAX_PATHS, Paths, paths
from llmrank.inspector.tokens import token_strings
from llmrank.inspector.views import (
    MAX_NODES,
    Range,
    Selection,
    View,
    in_range,
    selection,
)
from llmrank.inspector.wiring import Edge, Edges, Path, edges

__all__ = [
    "MAX_NODES",
    "MAX_PATHS",
    "SMALL",
    "Context",
    "Edge",
    "Edges",
    "Effect",
    "Firing",
    "LossChange",
    "Neuron",
    "Path",
    "Paths",
    "Promoted",
    "Range",
    "Rank",
    "Selection",
    "TokenLogit",
    "View",
    "activations",
    "edges",
    "effect",
    "firing",
    "in_range",
    "paths",
    "promoted",
    "ranks",
    "selection",
    "token_strings",
]
