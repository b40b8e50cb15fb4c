"""What a method is: criteria, allocations, repairs, recoveries, graph and cut."""

from llmrank.core.lazy import handed_on

__getattr__, __all__ = handed_on(
    __name__,
    method="PARTS Method written",
    criteria="CRITERIA Criterion Scores score",
    allocation="ALLOCATIONS Allocation",
    repair="REPAIRS Repair",
    recovery="RECOVERIES Recovery",
    pruning="PruningPlan PruningSpec plan prune",
)
