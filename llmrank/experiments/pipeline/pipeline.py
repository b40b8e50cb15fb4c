"""The results of every stage by the specs that made them, shared by all sessions."""

import time
from collections.abc import Hashable

from llmrank.core.cache import Memo
from llmrank.core.progress import Progress, silent
from llmrank.core.uploads import masked
from llmrank.evaluation.footprint import Footprint, footprint
from llmrank.evaluation.perplexity import (
    EvaluationSpec,
    Publish,
    TextEvaluation,
    evaluate,
)
from llmrank.experiments.pipeline.key import StageSpecs
from llmrank.experiments.pipeline.repair import Mended
from llmrank.methods.criteria import Criterion
from llmrank.methods.pruning import PruningPlan
from llmrank.methods.repair import NoRepair
from llmrank.methods.sorted_model import SortedModel, prefix, sort_neurons
from llmrank.models.language_model import LanguageModel, ModelSpec


class Stages(Mended):
    """Runs stages and remembers what they gave, bounded, keyed by whole specs.

    Models are few because they are large; timings are not remembered at all.
    """

    def __init__(self) -> None:
        super().__init__()
        self._pruned: Memo[LanguageModel] = Memo(3)
        self._sorted: Memo[SortedModel] = Memo(1)
        self._plans: Memo[PruningPlan] = Memo(64)
        self._dense_text: Memo[TextEvaluation] = Memo(32)
        self._pruned_text: Memo[tuple[Footprint, TextEvaluation]] = Memo(512)
        self._of_texts += [
            self._plans, self._pruned, self._sorted, self._dense_text,
            self._pruned_text,
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
            scores = self.scores(*of.scores_key, progress=progress)
            return self.planner(of, progress=progress)(scores)

        self._watch(of.calibration.calibration_text)
        self._watch(of.criterion.second_text)
        return self._plans.get(of, make)

    def pruned(self, of: StageSpecs, *, progress: Progress = silent) -> LanguageModel:
        """Return the smaller, repaired model, to time and to export."""
        self._watch(of.calibration.calibration_text)
        self._watch(of.criterion.second_text)
        return self._pruned.get(of, lambda: self._cut(of, progress))

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
            scores = self.scores(*of.scores_key, progress=progress)
            dense = self.model(of.model, progress=progress)
            return sort_neurons(dense, scores, progress=progress)

        kept = self.plan(of, progress=progress)
        return prefix(self._sorted.get(of.scores_key, make), kept)

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
        self._watch(specs.criterion.second_text)
        return self._pruned_text.get((specs, evaluation), make)

    def known_pruned_text(
        self, specs: StageSpecs, evaluation: EvaluationSpec
    ) -> tuple[Footprint, TextEvaluation] | None:
        """Return what a pruned model measured if it is there; never wait."""
        self._watch(evaluation.eval_text)
        self._watch(specs.criterion.second_text)
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
        """Return all that was measured of a model's pruned forms on a text.

        Not what a criterion found in a second text that who asks cannot open.
        """
        self._watch(evaluation.eval_text)
        return {
            specs: found
            for (specs, on), found in self._pruned_text.items()
            if specs[0] == model and on == evaluation and _is_told(specs.criterion)
        }

    def _smaller(self, of: StageSpecs, progress: Progress) -> LanguageModel:
        if self.has_sorted(*of.scores_key):
            return self.prefix(of, progress=progress)
        return self._cut(of, progress)

    def _cut(self, of: StageSpecs, progress: Progress) -> LanguageModel:
        kept = self.plan(of, progress=progress)
        return self.cutter(of, progress=progress)(kept, progress)


def _is_told(by: Criterion) -> bool:
    return masked(by.second_text) == by.second_text
