"""What comes before any cut: models, statistics, planes and scores."""

import time
from collections.abc import Hashable
from typing import Any

from llmrank import corpora, ffn
from llmrank.calibration import ActivationStats, CalibrationSpec, calibrate
from llmrank.centrality import Graph
from llmrank.criteria import Criterion, LLMRank, Scores, score
from llmrank.graph import Site, graphs
from llmrank.memo import Memo
from llmrank.models import LanguageModel, ModelSpec, load
from llmrank.planes import Planes, planes
from llmrank.progress import Progress, silent, track


class Scored:
    """The stages up to the scores, and what they gave."""

    def __init__(self) -> None:
        self._models: Memo[LanguageModel] = Memo(2)
        self._stats: Memo[ActivationStats] = Memo(8)
        self._planes: Memo[Planes] = Memo(8)
        self._scores: Memo[Scores] = Memo(64)
        self._of_texts: list[Memo[Any]] = [self._stats, self._planes, self._scores]
        self._tokens_per_s: dict[ModelSpec, float] = {}
        self._texts: dict[str, object] = {}

    def _watch(self, source: str) -> None:
        """Forget what was read from texts when one of them has changed on the disk."""
        state = corpora.state_of(source)
        if self._texts.setdefault(source, state) != state:
            self._texts[source] = state
            for memo in self._of_texts:
                memo.clear()

    def has_model(self, model: ModelSpec) -> bool:
        """Whether the dense model is in memory."""
        return self._models.peek(model) is not None

    def has_stats(self, model: ModelSpec, calibration: CalibrationSpec) -> bool:
        """Whether scoring can begin at once."""
        self._watch(calibration.calibration_text)
        return self._stats.peek((model, calibration)) is not None

    def has_planes(self, *key: Hashable) -> bool:
        """Whether the planes of (model, calibration, graph, site) are made."""
        return self._planes.peek(key) is not None

    def has_scores(self, *key: Hashable) -> bool:
        """Whether (model, calibration, criterion) is scored."""
        return self._scores.peek(key) is not None

    def tokens_per_s(self, model: ModelSpec) -> float | None:
        """How fast the model last read a text here: for estimates, not a result."""
        return self._tokens_per_s.get(model)

    def model(self, spec: ModelSpec, *, progress: Progress = silent) -> LanguageModel:
        """Return the dense model; see `models.load`."""
        return self._models.get(spec, lambda: load(spec, progress=progress))

    def stats(
        self,
        model: ModelSpec,
        calibration: CalibrationSpec,
        *,
        progress: Progress = silent,
    ) -> ActivationStats:
        """Return the calibration statistics; see `calibration.calibrate`."""

        def make() -> ActivationStats:
            dense = self.model(model, progress=progress)
            start = time.perf_counter()
            stats = calibrate(dense, calibration, progress=progress)
            self._note_pace(model, calibration.samples * calibration.seq_len, start)
            return stats

        self._watch(calibration.calibration_text)
        return self._stats.get((model, calibration), make)

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
            stats = self.stats(model, calibration, progress=progress)
            dense = self.model(model, progress=progress)
            return score(dense, stats, criterion, progress=progress)

        return self._scores.get((model, calibration, criterion), make)

    def _note_pace(self, model: ModelSpec, n_tokens: int, start: float) -> None:
        self._tokens_per_s[model] = n_tokens / (time.perf_counter() - start)
