"""The results of every stage by the specs that made them, shared by all sessions."""

import time
from collections.abc import Callable, Hashable, Sequence
from functools import partial
from typing import Any

from llmrank.allocation import Additive, Known, Search, Sensitivity
from llmrank.calibration import drawn
from llmrank.criteria import Scores
from llmrank.evaluation import EvaluationSpec, Publish, TextEvaluation, evaluate
from llmrank.footprint import Footprint, footprint
from llmrank.memo import Memo
from llmrank.models import LanguageModel, ModelSpec
from llmrank.nearness import Read, read
from llmrank.prefixes import SortedModel, prefix, sort_neurons
from llmrank.progress import Progress, silent
from llmrank.pruning import PruningPlan, plan
from llmrank.repair import Basis, Cutter, NoRepair
from llmrank.sensitivity import Searched, Trial, search, sensitivity
from llmrank.stages.kept import SearchFile
from llmrank.stages.scored import Scored
from llmrank.stages.specs import StageSpecs

TRIAL_TOKENS = 2048
"""Of the calibration tokens, those on which widths are tried."""


class Stages(Scored):
    """Runs stages and remembers what they gave, bounded, keyed by whole specs.

    Models are few because they are large; timings are not remembered at all.
    """

    def __init__(self) -> None:
        super().__init__()
        self._pruned: Memo[LanguageModel] = Memo(3)
        self._sorted: Memo[SortedModel] = Memo(1)
        self._cutters: Memo[Cutter] = Memo(1)
        self._reads: Memo[tuple[Read, ...]] = Memo(1)
        self._sensitivity: Memo[Sensitivity] = Memo(32)
        self._searched: Memo[Searched] = Memo(64)
        self._plans: Memo[PruningPlan] = Memo(64)
        self._dense_text: Memo[TextEvaluation] = Memo(32)
        self._pruned_text: Memo[tuple[Footprint, TextEvaluation]] = Memo(512)
        self._of_texts += [
            self._plans, self._pruned, self._sorted, self._cutters,
            self._dense_text, self._pruned_text, self._reads, self._sensitivity,
            self._searched,
        ]  # fmt: skip

    def has_pruned(self, *specs: Hashable) -> bool:
        """Whether the smaller model is in memory."""
        return self._pruned.peek(specs) is not None

    def has_sorted(self, *specs: Hashable) -> bool:
        """Whether the smaller model at any sparsity can be had at once."""
        return self._sorted.peek(specs) is not None

    def plan(self, of: StageSpecs, *, progress: Progress = silent) -> PruningPlan:
        """Return what is kept; see `pruning.plan`."""

        def make() -> PruningPlan:
            scores = self.scores(*of[:3], progress=progress)
            return self.planner(of, progress=progress)(scores)

        return self._plans.get(of, make)

    def widths(
        self, of: StageSpecs, sparsities: Sequence[float]
    ) -> list[tuple[int, ...]]:
        """Return what the allocation keeps of each layer, before any rounding."""
        known = Known(self.scores(*of[:3]), **self._evidence(of, silent))
        return [of.allocation.widths(known, s) for s in sparsities]

    def planner(
        self, of: StageSpecs, *, progress: Progress = silent
    ) -> Callable[[Scores], PruningPlan]:
        """Return what plans any scores as the specs say, with what that needs."""
        known = self._evidence(of, progress)
        return partial(plan, spec=of.pruning, by=of.allocation, **known)

    def _evidence(self, of: StageSpecs, progress: Progress) -> dict[str, Any]:
        """Return what the allocation needs beside the scores."""
        known: dict[str, Any] = {}
        if "stats" in of.allocation.needs:
            known["stats"] = self.stats(of.model, of.calibration, progress=progress)
        if "sensitivity" in of.allocation.needs:
            known["sensitivity"] = self.sensitivity(of, progress=progress)
        if "searched" in of.allocation.needs:
            known["searched"] = self.searched(of, progress=progress).widths
        return known

    def has_evidence(self, of: StageSpecs) -> bool:
        """Whether the allocation can answer at once."""
        if "searched" in of.allocation.needs:
            return self._searched.peek(of) is not None
        known = self._sensitivity.peek((*of[:3], of.repair))
        return "sensitivity" not in of.allocation.needs or known is not None

    def sensitivity(
        self, of: StageSpecs, *, progress: Progress = silent
    ) -> Sensitivity:
        """Return what each layer's cut costs; see `sensitivity.sensitivity`."""

        def make() -> Sensitivity:
            trial = self._trial(of, progress)
            given = (trial.reads, trial.scores, trial.cut)
            return sensitivity(*given, progress=progress)

        self._watch(of.calibration.calibration_text)
        return self._sensitivity.get((*of[:3], of.repair), make)

    def searched(
        self,
        of: StageSpecs,
        *,
        progress: Progress = silent,
        publish: Callable[[Searched], None] = lambda _: None,
    ) -> Searched:
        """Return the widths found by trial; a search that was stopped goes on.

        It begins with the additive widths, and is kept on the disk after each
        generation.
        """
        by = of.allocation
        assert isinstance(by, Search)

        def make() -> Searched:
            trial = self._trial(of, progress)
            kept = SearchFile(of, self.stats(*of[:2]).text_sha256)
            start: Searched | tuple[int, ...] | None = kept.read()
            if start is None:
                known = Known(trial.scores, sensitivity=self.sensitivity(of))
                start = Additive().widths(known, of.pruning.sparsity)

            def show(found: Searched) -> None:
                kept.write(found)
                publish(found)

            return search(
                trial,
                start,
                by.evaluations,
                seed=of.calibration.seed,
                progress=progress,
                publish=show,
            )

        self._watch(of.calibration.calibration_text)
        return self._searched.get(of, make)

    def _trial(self, of: StageSpecs, progress: Progress) -> Trial:
        def make() -> tuple[Read, ...]:
            dense = self.model(of.model, progress=progress)
            windows = drawn(dense, of.calibration)[1]
            few = windows[: max(1, TRIAL_TOKENS // windows.shape[1])]
            return read(dense, few, progress=progress)

        reads = self._reads.get(of[:2], make)
        cut = self.cutter(of, progress=progress)
        return Trial(reads, self.scores(*of[:3], progress=progress), cut)

    def pruned(self, of: StageSpecs, *, progress: Progress = silent) -> LanguageModel:
        """Return the smaller, repaired model, to time and to export."""
        return self._pruned.get(of, lambda: self._cut(of, progress))

    def cutter(self, of: StageSpecs, *, progress: Progress = silent) -> Cutter:
        """Return what cuts and repairs at every sparsity; see `repair.Repair`.

        That of one model, criterion and repair is held: it may be large.
        """

        def make() -> Cutter:
            dense = self.model(of.model, progress=progress)
            basis = Basis(
                dense,
                self.scores(*of[:3], progress=progress),
                self.stats(of.model, of.calibration, progress=progress),
                drawn(dense, of.calibration)[1],
            )
            return of.repair.cutter(basis, progress=progress)

        return self._cutters.get((*of[:3], of.repair), make)

    def prefix(self, of: StageSpecs, *, progress: Progress = silent) -> LanguageModel:
        """Return the smaller model, to evaluate; see `prefixes.prefix`.

        The first of a criterion sorts the neurons, which takes about as long as
        `pruned`; at every other sparsity it is there at once. The sorted weights of
        one criterion are held. A repaired model is no prefix: it has weights of its
        own.
        """
        if of.repair != NoRepair():
            return self.pruned(of, progress=progress)

        def make() -> SortedModel:
            scores = self.scores(*of[:3], progress=progress)
            dense = self.model(of.model, progress=progress)
            return sort_neurons(dense, scores, progress=progress)

        kept = self.plan(of, progress=progress)
        return prefix(self._sorted.get(of[:3], make), kept)

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
        return self._pruned_text.get((specs, evaluation), make)

    def known_pruned_text(
        self, specs: StageSpecs, evaluation: EvaluationSpec
    ) -> tuple[Footprint, TextEvaluation] | None:
        """Return what a pruned model measured if it is there; never wait."""
        self._watch(evaluation.eval_text)
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

    def _smaller(self, of: StageSpecs, progress: Progress) -> LanguageModel:
        if self.has_sorted(*of[:3]):
            return self.prefix(of, progress=progress)
        return self._cut(of, progress)

    def _cut(self, of: StageSpecs, progress: Progress) -> LanguageModel:
        kept = self.plan(of, progress=progress)
        return self.cutter(of, progress=progress)(kept, progress)
