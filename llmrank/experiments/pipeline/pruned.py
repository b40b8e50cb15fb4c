"""Pruned models, and what dense and pruned ones are on a text."""

import time
from functools import partial
from typing import Any

from llmrank.core import uploads
from llmrank.core.progress import Progress, silent
from llmrank.core.uploads import masked
from llmrank.evaluation.footprint import Footprint, footprint
from llmrank.evaluation.perplexity import TextEvaluation, evaluate
from llmrank.experiments.experiment import Experiment
from llmrank.experiments.pipeline.evidence import Evidence
from llmrank.experiments.pipeline.kept import found, kept
from llmrank.experiments.pipeline.recovery import recovery_inputs
from llmrank.experiments.pipeline.recovery_file import RecoveryFile
from llmrank.experiments.pipeline.repair import Repairer
from llmrank.experiments.pipeline.scores import Scorer
from llmrank.experiments.pipeline.stage import (
    ReadTexts,
    Stage,
    dense_text_key,
    plan_key,
    pruned_key,
    pruned_text_key,
    scores_key,
)
from llmrank.experiments.pipeline.stepwise import in_steps, nested
from llmrank.experiments.pipeline.widths import Planner
from llmrank.methods.criteria import Scores
from llmrank.methods.pruning import PruningPlan
from llmrank.methods.recovery import NoRecovery, Recovered
from llmrank.methods.repair import NoRepair
from llmrank.methods.sorted_model import SortedModel, prefix, sort_neurons
from llmrank.models.language_model import LanguageModel


class Pruner:
    """Makes smaller models; few are kept, because they are large."""

    def __init__(
        self,
        evidence: Evidence,
        scorer: Scorer,
        repairer: Repairer,
        planner: Planner,
        read: ReadTexts,
    ) -> None:
        self._evidence, self._scorer = evidence, scorer
        self._repairer, self._planner = repairer, planner
        self.pruned = Stage(self._prune, pruned_key, limit=3, read=read)
        self.recovered = Stage(self._recover, pruned_key, limit=2, read=read)
        self.sorted = Stage(self._sort, scores_key, limit=1, read=read)

    def prefix(
        self, experiment: Experiment, *, progress: Progress = silent
    ) -> LanguageModel:
        """Return the smaller model, to evaluate; see `sorted_model.prefix`.

        The first of a criterion sorts the neurons, which takes about as long as
        `pruned`; at every other sparsity it is there at once. The sorted weights of
        one criterion are held. A model that was repaired or recovered is no prefix: it
        has weights of its own.
        """
        if _has_own_weights(experiment):
            return self.pruned(experiment, progress=progress)
        kept = self._planner.plan(experiment, progress=progress)
        return prefix(self.sorted(experiment, progress=progress), kept)

    def passing(self, experiment: Experiment, progress: Progress) -> LanguageModel:
        """Return the smaller model to look at once: it is not kept.

        It is a prefix where the neurons are sorted already, and cut where not: sorting
        pays only for those who come back to the same criterion.
        """
        kept = self.pruned.peek(experiment)
        if kept is not None:
            return kept
        if experiment.method.recovery.trains:
            return self.pruned(experiment, progress=progress)
        if self.sorted.peek(experiment) is not None:
            return self.prefix(experiment, progress=progress)
        return self._cut(experiment, progress)

    def _prune(self, experiment: Experiment, progress: Progress) -> LanguageModel:
        if experiment.method.recovery.trains:
            return self.recovered(experiment, progress=progress).model
        return self._cut(experiment, progress)

    def _recover(
        self, experiment: Experiment, progress: Progress, **watched: Any
    ) -> Recovered:
        """Cut and train; `watched` is `publish` and `enough`, as a recovery's."""
        recovery, asked = experiment.method.recovery, plan_key(experiment)
        dense = self._evidence.model(experiment, progress=progress)
        is_ours = not any(map(uploads.is_upload, experiment.texts))
        place = partial(RecoveryFile, experiment, dense) if is_ours else None
        inputs = recovery_inputs(recovery, dense, place)
        plan = self._planner.plan(asked, progress=progress)
        scores = self._scorer.scores(asked, progress=progress)

        def cut(own: Scores, part: PruningPlan, lm: LanguageModel) -> LanguageModel:
            if lm is dense:
                cutter = self._repairer.cutter(asked, progress=progress)
            else:
                cutter = self._repairer.again(asked, lm, own, progress)
            return cutter(part, progress)

        steps = nested(scores, plan, len(recovery.each))
        cuts = [partial(cut, *step) for step in steps]
        return in_steps(recovery, cuts, inputs, progress=progress, **watched)

    def _cut(self, experiment: Experiment, progress: Progress) -> LanguageModel:
        kept = self._planner.plan(experiment, progress=progress)
        return self._repairer.cutter(experiment, progress=progress)(kept, progress)

    def _sort(self, experiment: Experiment, progress: Progress) -> SortedModel:
        scores = self._scorer.scores(experiment, progress=progress)
        dense = self._evidence.model(experiment, progress=progress)
        return sort_neurons(dense, scores, progress=progress)


class Evaluator:
    """Reads texts with dense and pruned models; the models are let go."""

    def __init__(self, evidence: Evidence, pruner: Pruner, read: ReadTexts) -> None:
        self._evidence, self._pruner = evidence, pruner
        self.dense_text = Stage(self._dense, dense_text_key, limit=32, read=read)
        self.pruned_text = Stage(self._pruned, pruned_text_key, limit=512, read=read)

    def known_dense(self, experiment: Experiment) -> TextEvaluation | None:
        """Return what the dense model is on a text, if nobody need read it for that."""
        known = self.dense_text.peek(experiment)
        if known is None:
            asked = dense_text_key(experiment)
            known = found(asked, self._evidence.model(asked), "text")
        return known

    def known_on_text(
        self, experiment: Experiment
    ) -> dict[Experiment, tuple[Footprint, TextEvaluation]]:
        """Return all that was measured of a model's pruned forms on a text.

        Not what a criterion found in a second text that who asks cannot open.
        """
        asked = dense_text_key(experiment)
        self.dense_text.peek(asked)  # refuses a text that is another's
        return {
            known: measured
            for known, measured in self.pruned_text.items()
            if dense_text_key(known) == asked and _is_told(known)
        }

    def _dense(
        self, experiment: Experiment, progress: Progress, **options: Any
    ) -> TextEvaluation:
        dense = self._evidence.model(experiment, progress=progress)

        def read() -> TextEvaluation:
            start = time.perf_counter()
            text = evaluate(dense, experiment.evaluation, progress=progress, **options)
            self._evidence.note_pace(experiment.model, text.n_tokens, start)
            return text

        return kept(experiment, dense, "text", read)

    def _pruned(
        self, experiment: Experiment, progress: Progress, **options: Any
    ) -> tuple[Footprint, TextEvaluation]:
        lm = self._pruner.passing(experiment, progress)
        text = evaluate(lm, experiment.evaluation, progress=progress, **options)
        return footprint(lm), text


def _has_own_weights(experiment: Experiment) -> bool:
    method = experiment.method
    return (method.repair, method.recovery) != (NoRepair(), NoRecovery())


def _is_told(experiment: Experiment) -> bool:
    return masked(list(experiment.texts)) == list(experiment.texts)
