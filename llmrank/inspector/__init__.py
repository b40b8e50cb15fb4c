"""One neuron asked: its ranks, edges, contexts, tokens, and what it is worth."""

from llmrank.inspector.contexts import Context, Firing, activations, firing
from llmrank.inspector.lens import Promoted, TokenLogit, promoted
from llmrank.inspector.neuron import Neuron
from llmrank.inspector.removal import SMALL, Effect, LossChange, effect
from llmrank.inspector.standing import Rank, ranks
from llmrank.inspector.tokens import token_strings
from llmrank.inspector.wiring import Edge, Edges, Path, edges

__all__ = [
    "SMALL",
    "Context",
    "Edge",
    "Edges",
    "Effect",
    "Firing",
    "LossChange",
    "Neuron",
    "Path",
    "Promoted",
    "Rank",
    "TokenLogit",
    "activations",
    "edges",
    "effect",
    "firing",
    "promoted",
    "ranks",
    "token_strings",
]
