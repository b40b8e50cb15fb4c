"""Scores, and the planes that answer every θ and γ at once."""

from llmrank.core.progress import Progress, track
from llmrank.experiments.experiment import Experiment
from llmrank.experiments.pipeline.evidence import Evidence
from llmrank.experiments.pipeline.stage import ReadTexts, Stage, scores_key
from llmrank.methods.criteria import LLMRank, Scores, score
from llmrank.methods.graph import graphs
from llmrank.methods.response_planes import Planes, planes
from llmrank.models import ffn


class Scorer:
    """Scores the neurons of dense models."""

    def __init__(self, evidence: Evidence, read: ReadTexts) -> None:
        self._evidence = evidence
        self.planes = Stage(self._solve, planes_key, limit=8, read=read)
        self.scores = Stage(self._score, scores_key, limit=64, read=read)

    def _solve(self, experiment: Experiment, progress: Progress) -> Planes:
        criterion = experiment.method.criterion
        assert isinstance(criterion, LLMRank)
        stats = self._evidence.stats(experiment, progress=progress)
        dense = self._evidence.model(experiment, progress=progress)
        drawn = graphs(ffn.ffns(dense.model), stats)
        tracked = track(drawn, f"Building the {criterion.graph} planes", progress)
        return planes(tracked, graph=criterion.graph, site=criterion.site)

    def _score(self, experiment: Experiment, progress: Progress) -> Scores:
        criterion = experiment.method.criterion
        if isinstance(criterion, LLMRank) and criterion.from_planes:
            made = self.planes(experiment, progress=progress)
            return Scores(made.scores(criterion.theta, criterion.gamma))
        read = self._evidence.collect(experiment, progress=progress)
        stats, gradients, second = read
        dense = self._evidence.model(experiment, progress=progress)
        more = {"gradients": gradients, "second": second}
        return score(dense, stats, criterion, **more, progress=progress)


def planes_key(experiment: Experiment) -> Experiment:
    """Leave what decides the planes of LLM-Rank: neither θ nor γ."""
    criterion = experiment.method.criterion
    assert isinstance(criterion, LLMRank)
    drawn = LLMRank(graph=criterion.graph, site=criterion.site)
    return scores_key(experiment.using(criterion=drawn))
