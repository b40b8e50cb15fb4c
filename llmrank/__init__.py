"""Structured pruning of language models by graph centrality.

    lm = llmrank.load("demo")
    stats = llmrank.calibrate(lm)
    scores = llmrank.score(lm, stats, llmrank.LLMRank(theta=0.5, gamma=0.5))
    plan = llmrank.plan(scores, llmrank.PruningSpec(sparsity=0.3))
    pruned = llmrank.prune(lm, plan)
    print(llmrank.table(llmrank.compare(lm, pruned)))
    llmrank.save(pruned, "exports/smaller")

The names are imported on first use: torch takes seconds.
"""

from llmrank.core.lazy import handed_on

_HOMES = {
    "core.errors": "LLMRankError OptionError CancelledError",
    "models.language_model": "LanguageModel ModelSpec load",
    "calibration.activations": "ActivationStats CalibrationSpec calibrate",
    "calibration.gradients": "Gradients differentiate",
    "evaluation.perplexity": "EvaluationSpec",
    "evaluation.accuracy": "TaskSpec",
    "evaluation.decoding": "BenchmarkSpec",
    "methods.criteria": "CRITERIA L1 L2 Activation Cfsp Criterion Flap GPrune Gblm "
    "LLMRank Random ReverseRank Scores Taylor TransAct Wanda score",
    "methods.allocation": "ALLOCATIONS Additive Allocation BlockInfluence ByHand "
    "Effective Global PQIndex Search Similarity Standardised Uniform",
    "methods.repair": "REPAIRS Bias LeastSquares NoRepair Repair "
    "SequentialLeastSquares",
    "methods.recovery": "RECOVERIES Distillation NoRecovery Recovery",
    "experiments.pipeline": "Pipeline",
    "experiments.pipeline.recovery": "recover",
    "methods.pruning": "PruningPlan PruningSpec plan prune",
    "models.export": "save",
    "evaluation.comparison": "Comparison Measures compare",
    "experiments.experiment": "Experiment",
    "experiments.run": "Report run",
    "report.sentences.summary": "table",
    "experiments.store": "Store",
    "methods.method": "Method",
    "experiments.arena": "ArenaSpec",
}

__version__ = "0.1.0"
__getattr__, __all__ = handed_on(__name__, **_HOMES)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
