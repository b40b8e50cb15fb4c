"""Allocations: how many neurons each layer keeps. Each is a registered description."""

from llmrank.allocation.base import (
    ALLOCATIONS,
    Allocation,
    Evidence,
    Known,
    Sensitivity,
    allocation,
)
from llmrank.allocation.by_scores import (
    Effective,
    Global,
    PQIndex,
    Standardised,
    Uniform,
)
from llmrank.allocation.influence import BlockInfluence, Similarity
from llmrank.allocation.measured import Additive, ByHand, Search

__all__ = [
    "ALLOCATIONS",
    "Additive",
    "Allocation",
    "BlockInfluence",
    "ByHand",
    "Effective",
    "Evidence",
    "Global",
    "Known",
    "PQIndex",
    "Search",
    "Sensitivity",
    "Similarity",
    "Standardised",
    "Uniform",
    "allocation",
]
