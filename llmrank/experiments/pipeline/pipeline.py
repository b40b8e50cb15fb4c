"""All stages from a model's name to the pruned model's perplexity."""

from llmrank.experiments.pipeline.evidence import Evidence
from llmrank.experiments.pipeline.pruned import Evaluator, Pruner
from llmrank.experiments.pipeline.repair import Repairer
from llmrank.experiments.pipeline.scores import Scorer
from llmrank.experiments.pipeline.stage import ReadTexts
from llmrank.experiments.pipeline.widths import Planner


class Pipeline:
    """The stages, each asked with an experiment: what was made is made only once.

    `pipeline.scores(experiment)` computes, `pipeline.scores.peek(experiment)` never
    does. Results are kept, the last few of each stage, by that of the experiment which
    decides them: of two that differ in the sparsity alone, the scores are the same.
    All sessions share them. Timings are not kept at all.
    """

    def __init__(self) -> None:
        read = ReadTexts()
        self.evidence = Evidence(read)
        self.model, self.stats = self.evidence.model, self.evidence.stats
        self.gradients = self.evidence.gradients
        self.tokens_per_s = self.evidence.tokens_per_s
        scorer = Scorer(self.evidence, read)
        self.planes, self.scores = scorer.planes, scorer.scores
        repairer = Repairer(self.evidence, scorer, read)
        self.planner = Planner(self.evidence, scorer, repairer, read)
        self.plan, self.sensitivity = self.planner.plan, self.planner.sensitivity
        self.searched = self.planner.searched
        self.pruner = Pruner(self.evidence, scorer, repairer, self.planner, read)
        self.pruned, self.recovered = self.pruner.pruned, self.pruner.recovered
        self.evaluator = Evaluator(self.evidence, self.pruner, read)
        self.dense_text = self.evaluator.dense_text
        self.pruned_text = self.evaluator.pruned_text
