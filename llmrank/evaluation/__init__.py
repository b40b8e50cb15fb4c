"""What a measurement is: perplexity, accuracy, time and memory, dense beside pruned."""

from llmrank.core.lazy import handed_on

__getattr__, __all__ = handed_on(
    __name__,
    perplexity="EvaluationSpec TextEvaluation evaluate",
    accuracy="TaskResult TaskSpec evaluate_task",
    comparison="MEASURES Comparison Measures compare",
    decoding="BenchmarkSpec",
    footprint="Footprint",
    speedup="Speedup",
)
