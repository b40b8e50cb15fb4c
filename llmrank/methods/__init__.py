"""What a method is: criteria, allocations, repairs, their graph and the cut."""

from llmrank.core.lazy import handed_on

__getattr__, __all__ = handed_on(
    __name__,
    method="PARTS Method written",
    criteria="CRITERIA Criterion Scores score",
    allocation="ALLOCATIONS Allocation",
    repair="REPAIRS Repair",
    pruning="PruningPlan PruningSpec plan prune",
)
