"""Planes and scores, by the specs that made them."""

from collections.abc import Hashable

from llmrank.calibration.activations import CalibrationSpec
from llmrank.core.cache import Memo
from llmrank.core.progress import Progress, silent, track
from llmrank.experiments.pipeline.evidence import Evidence
from llmrank.methods.criteria import Criterion, LLMRank, Scores, score
from llmrank.methods.graph import Site, graphs
from llmrank.methods.pagerank import Graph
from llmrank.methods.response_planes import Planes, planes
from llmrank.models import ffn
from llmrank.models.language_model import ModelSpec


class Scored(Evidence):
    """The stages up to the scores, and what they gave."""

    def __init__(self) -> None:
        super().__init__()
        self._planes: Memo[Planes] = Memo(8)
        self._scores: Memo[Scores] = Memo(64)
        self._of_texts += [self._planes, self._scores]

    def has_planes(self, *key: Hashable) -> bool:
        """Whether the planes of (model, calibration, graph, site) are made."""
        return self._planes.peek(key) is not None

    def has_scores(self, *key: Hashable) -> bool:
        """Whether (model, calibration, criterion) is scored."""
        return self._scores.peek(key) is not None

    def planes(
        self,
        model: ModelSpec,
        calibration: CalibrationSpec,
        graph: Graph,
        site: Site,
        *,
        progress: Progress = silent,
    ) -> Planes:
        """Return what answers every θ and γ at once; see `planes.planes`."""

        def make() -> Planes:
            stats = self.stats(model, calibration, progress=progress)
            dense = self.model(model, progress=progress)
            drawn = graphs(ffn.ffns(dense.model), stats)
            tracked = track(drawn, f"Building the {graph} planes", progress)
            return planes(tracked, graph=graph, site=site)

        self._watch(calibration.calibration_text)
        return self._planes.get((model, calibration, graph, site), make)

    def scores(
        self,
        model: ModelSpec,
        calibration: CalibrationSpec,
        criterion: Criterion,
        *,
        progress: Progress = silent,
    ) -> Scores:
        """Return a criterion's scores; see `criteria.score`."""

        def make() -> Scores:
            if isinstance(criterion, LLMRank) and criterion.from_planes:
                where = (criterion.graph, criterion.site)
                made = self.planes(model, calibration, *where, progress=progress)
                return Scores(made.scores(criterion.theta, criterion.gamma))
            known = (model, calibration, criterion)
            stats, gradients, second = self.evidence(*known, progress=progress)
            dense = self.model(model, progress=progress)
            more = {"gradients": gradients, "second": second}
            return score(dense, stats, criterion, **more, progress=progress)

        self._watch(calibration.calibration_text)
        self._watch(criterion.second_text)
        return self._scores.get((model, calibration, criterion), make)
