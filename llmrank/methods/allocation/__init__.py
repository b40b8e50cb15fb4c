"""Allocations: how many neurons each layer keeps. Each is a registered description."""

# The order of the menus: what is imported first is registered first.
# isort: off
from llmrank.methods.allocation.base import (
    ALLOCATIONS,
    Allocation,
    Evidence,
    AllocationInputs,
    Sensitivity,
    allocation,
)
from llmrank.methods.allocation.by_scores import (
    Effective,
    Global,
    PQIndex,
    Standardised,
    Uniform,
)
from llmrank.methods.allocation.block_influence import BlockInfluence, Similarity
from llmrank.methods.allocation.by_cost import Additive, ByHand, Search

# isort: on
