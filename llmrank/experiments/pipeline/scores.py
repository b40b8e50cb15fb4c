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
        by = experiment.method.criterion
        assert isinstance(by, LLMRank)
        stats = self._evidence.stats(experiment, progress=progress)
        dense = self._evidence.model(experiment, progress=progress)
        drawn = graphs(ffn.ffns(dense.model), stats)
        tracked = track(drawn, f"Building the {by.graph} planes", progress)
        return planes(tracked, graph=by.graph, site=by.site)

    def _score(self, experiment: Experiment, progress: Progress) -> Scores:
        by = experiment.method.criterion
        if isinstance(by, LLMRank) and by.from_planes:
            made = self.planes(experiment, progress=progress)
            return Scores(made.scores(by.theta, by.gamma))
        read = self._evidence.collect(experiment, progress=progress)
        stats, gradients, second = read
        dense = self._evidence.model(experiment, progress=progress)
        more = {"gradients": gradients, "second": second}
        return score(dense, stats, by, **more, progress=progress)


def planes_key(experiment: Experiment) -> Experiment:
    """Leave what decides the planes of LLM-Rank: neither θ nor γ."""
    by = experiment.method.criterion
    assert isinstance(by, LLMRank)
    return scores_key(experiment.using(criterion=LLMRank(graph=by.graph, site=by.site)))
