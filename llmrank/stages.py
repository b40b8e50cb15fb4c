"""The results of every stage by the specs that made them, shared by all sessions."""

import time
from collections.abc import Hashable

from llmrank import ffn
from llmrank.calibration import CalibrationSpec
from llmrank.centrality import Graph
from llmrank.criteria import Criterion, LLMRank, Scores, score
from llmrank.evaluation import EvaluationSpec, Publish, TextEvaluation, evaluate
from llmrank.evidence import Evidence
from llmrank.footprint import Footprint, footprint
from llmrank.graph import Site, graphs
from llmrank.memo import Memo
from llmrank.models import LanguageModel, ModelSpec
from llmrank.planes import Planes, planes
from llmrank.prefixes import SortedModel, prefix, sort_neurons
from llmrank.progress import Progress, silent, track
from llmrank.pruning import PruningPlan, PruningSpec, plan, prune

StageSpecs = tuple[ModelSpec, CalibrationSpec, Criterion, PruningSpec]
"""What decides a pruned model."""


class Stages(Evidence):
    """Runs stages and remembers what they gave, bounded, keyed by whole specs.

    Timings are not remembered at all.
    """

    def __init__(self) -> None:
        super().__init__()
        self._pruned: Memo[LanguageModel] = Memo(3)
        self._sorted: Memo[SortedModel] = Memo(1)
        self._planes: Memo[Planes] = Memo(8)
        self._scores: Memo[Scores] = Memo(32)
        self._plans: Memo[PruningPlan] = Memo(64)
        self._dense_text: Memo[TextEvaluation] = Memo(32)
        self._pruned_text: Memo[tuple[Footprint, TextEvaluation]] = Memo(512)
        self._from_texts += [
            self._planes, self._scores, self._plans, self._pruned, self._sorted,
            self._dense_text, self._pruned_text,
        ]  # fmt: skip

    def has_pruned(self, *specs: Hashable) -> bool:
        """Whether the smaller model is in memory."""
        return self._pruned.peek(specs) is not None

    def has_sorted(self, *specs: Hashable) -> bool:
        """Whether the smaller model at any sparsity can be had at once."""
        return self._sorted.peek(specs) is not None

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

        self._watch(criterion.second_text)
        return self._scores.get((model, calibration, criterion), make)

    def plan(
        self,
        model: ModelSpec,
        calibration: CalibrationSpec,
        criterion: Criterion,
        pruning: PruningSpec,
        *,
        progress: Progress = silent,
    ) -> PruningPlan:
        """Return what is kept; see `pruning.plan`."""
        scores = self.scores(model, calibration, criterion, progress=progress)
        key = (model, calibration, criterion, pruning)
        return self._plans.get(key, lambda: plan(scores, pruning))

    def pruned(
        self,
        model: ModelSpec,
        calibration: CalibrationSpec,
        criterion: Criterion,
        pruning: PruningSpec,
        *,
        progress: Progress = silent,
    ) -> LanguageModel:
        """Return the smaller model, to time and to export; see `pruning.prune`."""
        specs = (model, calibration, criterion, pruning)
        self._watch(criterion.second_text)
        return self._pruned.get(specs, lambda: self._cut(specs, progress))

    def prefix(
        self,
        model: ModelSpec,
        calibration: CalibrationSpec,
        criterion: Criterion,
        pruning: PruningSpec,
        *,
        progress: Progress = silent,
    ) -> LanguageModel:
        """Return the smaller model, to evaluate; see `prefixes.prefix`.

        The first of a criterion sorts the neurons, which takes about as long as
        `pruned`; at every other sparsity it is there at once. The sorted weights of
        one criterion are held.
        """

        def make() -> SortedModel:
            scores = self.scores(model, calibration, criterion, progress=progress)
            dense = self.model(model, progress=progress)
            return sort_neurons(dense, scores, progress=progress)

        kept = self.plan(model, calibration, criterion, pruning, progress=progress)
        return prefix(self._sorted.get((model, calibration, criterion), make), kept)

    def dense_text(
        self,
        model: ModelSpec,
        evaluation: EvaluationSpec,
        *,
        progress: Progress = silent,
        publish: Publish | None = None,
    ) -> TextEvaluation:
        """Return the dense model's evaluation: the same for every pruning."""

        def make() -> TextEvaluation:
            dense = self.model(model, progress=progress)
            start = time.perf_counter()
            text = evaluate(dense, evaluation, progress=progress, publish=publish)
            self._note_pace(model, text.n_tokens, start)
            return text

        self._watch(evaluation.eval_text)
        return self._dense_text.get((model, evaluation), make)

    def known_dense_text(
        self, model: ModelSpec, evaluation: EvaluationSpec
    ) -> TextEvaluation | None:
        """Return the dense model's evaluation if it is there; never wait."""
        self._watch(evaluation.eval_text)
        return self._dense_text.peek((model, evaluation))

    def pruned_text(
        self,
        specs: StageSpecs,
        evaluation: EvaluationSpec,
        *,
        progress: Progress = silent,
        publish: Publish | None = None,
    ) -> tuple[Footprint, TextEvaluation]:
        """Return what a pruned model measures on a text; the model itself is let go.

        It is a prefix where the neurons are sorted already, and cut where not: sorting
        pays only for those who come back to the same criterion.
        """

        def make() -> tuple[Footprint, TextEvaluation]:
            lm = self._pruned.peek(specs) or self._smaller(specs, progress)
            text = evaluate(lm, evaluation, progress=progress, publish=publish)
            return footprint(lm), text

        self._watch(evaluation.eval_text)
        self._watch(specs[2].second_text)
        return self._pruned_text.get((specs, evaluation), make)

    def known_pruned_text(
        self, specs: StageSpecs, evaluation: EvaluationSpec
    ) -> tuple[Footprint, TextEvaluation] | None:
        """Return what a pruned model measured if it is there; never wait."""
        self._watch(evaluation.eval_text)
        self._watch(specs[2].second_text)
        return self._pruned_text.peek((specs, evaluation))

    def keep_pruned_text(
        self,
        specs: StageSpecs,
        evaluation: EvaluationSpec,
        found: tuple[Footprint, TextEvaluation],
    ) -> None:
        """Remember what was measured elsewhere, so that nobody measures it again."""
        self._pruned_text.put((specs, evaluation), found)

    def known_pruned_texts(
        self, model: ModelSpec, evaluation: EvaluationSpec
    ) -> dict[StageSpecs, tuple[Footprint, TextEvaluation]]:
        """Return all that was measured of a model's pruned forms on a text."""
        self._watch(evaluation.eval_text)
        return {
            specs: found
            for (specs, on), found in self._pruned_text.items()
            if specs[0] == model and on == evaluation
        }

    def _smaller(self, specs: StageSpecs, progress: Progress) -> LanguageModel:
        if self.has_sorted(*specs[:3]):
            return self.prefix(*specs, progress=progress)
        return self._cut(specs, progress)

    def _cut(self, specs: StageSpecs, progress: Progress) -> LanguageModel:
        kept = self.plan(*specs, progress=progress)
        dense = self.model(specs[0], progress=progress)
        return prune(dense, kept, progress=progress)
