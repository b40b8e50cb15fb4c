"""What repairs start from, what each layer costs, and searches for widths."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from llmrank.calibration.activations import drawn
from llmrank.calibration.divergence import Read, read
from llmrank.calibration.second_moments import Moments, has_room, moments
from llmrank.core.cache import Memo
from llmrank.core.progress import Progress, silent
from llmrank.experiments.pipeline.key import StageSpecs
from llmrank.experiments.pipeline.scores import Scored
from llmrank.experiments.pipeline.search_file import SearchFile
from llmrank.methods.allocation import (
    Additive,
    BlockInfluence,
    Known,
    Search,
    Sensitivity,
)
from llmrank.methods.criteria import Scores
from llmrank.methods.pruning import PruningPlan, plan
from llmrank.methods.repair import Basis, Cutter
from llmrank.methods.width_search import Searched, Trial, search, sensitivity
from llmrank.models.language_model import weights_sample

TRIAL_TOKENS = 1024
"""Of the calibration tokens, those on which widths are tried."""


class Mended(Scored):
    """The stages that allocations and repairs need, and what they gave."""

    def __init__(self) -> None:
        super().__init__()
        self._cutters: Memo[Cutter] = Memo(1)
        self._moments: Memo[tuple[Moments, ...]] = Memo(1)
        self._reads: Memo[tuple[Read, ...]] = Memo(1)
        self._sensitivity: Memo[Sensitivity] = Memo(32)
        self._searched: Memo[Searched] = Memo(64)
        self._of_texts += [
            self._cutters, self._moments, self._reads, self._sensitivity,
            self._searched,
        ]  # fmt: skip

    def widths(
        self, of: StageSpecs, sparsities: Sequence[float]
    ) -> list[tuple[int, ...]]:
        """Return what the allocation keeps of each layer, before any rounding."""
        known = Known(self.scores(*of.scores_key), **self._beside(of, silent))
        return [of.allocation.widths(known, s) for s in sparsities]

    def planner(
        self, of: StageSpecs, *, progress: Progress = silent
    ) -> Callable[[Scores], PruningPlan]:
        """Return what plans any scores as the specs say, with what that needs."""
        known = self._beside(of, progress)
        return partial(plan, spec=of.pruning, by=of.allocation, **known)

    def _beside(self, of: StageSpecs, progress: Progress) -> dict[str, Any]:
        """Return what the allocation needs beside the scores."""
        known: dict[str, Any] = {}
        if "stats" in of.allocation.needs:
            known["stats"] = self.stats(of.model, of.calibration, progress=progress)
        if "sensitivity" in of.allocation.needs:
            known["sensitivity"] = self.sensitivity(of, progress=progress)
        if "searched" in of.allocation.needs:
            known["searched"] = self.searched(of, progress=progress).widths
        return known

    def has_widths(self, of: StageSpecs) -> bool:
        """Whether the allocation can answer at once."""
        needs = of.allocation.needs
        if "searched" in needs and self.known_searched(of) is None:
            return False
        return "sensitivity" not in needs or self.known_sensitivity(of) is not None

    def sensitivity(
        self, of: StageSpecs, *, progress: Progress = silent
    ) -> Sensitivity:
        """Return what each layer's cut costs; see `sensitivity.sensitivity`."""

        def make() -> Sensitivity:
            trial = self._trial(of, progress)
            given = (trial.reads, trial.scores, trial.cut)
            return sensitivity(*given, progress=progress)

        self._watch(of.calibration.calibration_text)
        return self._sensitivity.get((*of.scores_key, of.repair.on_trial), make)

    def known_sensitivity(self, of: StageSpecs) -> Sensitivity | None:
        """Return what each layer's cut costs if it is there; never wait."""
        self._watch(of.calibration.calibration_text)
        return self._sensitivity.peek((*of.scores_key, of.repair.on_trial))

    def known_searched(self, of: StageSpecs) -> Searched | None:
        """Return the widths found by trial if they are there; never wait."""
        self._watch(of.calibration.calibration_text)
        return self._searched.peek(of)

    def searched(
        self,
        of: StageSpecs,
        *,
        progress: Progress = silent,
        publish: Callable[[Searched], None] = lambda _: None,
    ) -> Searched:
        """Return the widths found by trial; a search that was stopped goes on.

        It begins with the additive widths or those by block influence, whichever come
        closer, and is kept on the disk after each generation.
        """
        by = of.allocation
        assert isinstance(by, Search)

        def make() -> Searched:
            trial = self._trial(of, progress)
            read_on = self.stats(*of[:2]).text_sha256
            kept = SearchFile(of, read_on, weights_sample(self.model(of.model)))
            start: Searched | tuple[int, ...] | None = kept.read()
            if start is None:
                known = Known(
                    trial.scores,
                    stats=self.stats(*of[:2]),
                    sensitivity=self.sensitivity(of),
                )
                both = [
                    a.widths(known, of.pruning.sparsity)
                    for a in (Additive(), BlockInfluence())
                ]
                start = min(both, key=lambda widths: trial(widths, trial.reads))

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
        cut = self.cutter(of._replace(repair=of.repair.on_trial), progress=progress)
        return Trial(reads, self.scores(*of.scores_key, progress=progress), cut)

    def cutter(self, of: StageSpecs, *, progress: Progress = silent) -> Cutter:
        """Return what cuts and repairs at every sparsity; see `repair.Repair`.

        That of one model, criterion and repair is held: it may be large.
        """

        def make() -> Cutter:
            dense = self.model(of.model, progress=progress)
            basis = Basis(
                dense,
                self.scores(*of.scores_key, progress=progress),
                self.stats(of.model, of.calibration, progress=progress),
                drawn(dense, of.calibration)[1],
                self._moments_of(of, progress) if of.repair.solves else None,
            )
            return of.repair.cutter(basis, progress=progress)

        self._watch(of.calibration.calibration_text)
        return self._cutters.get((*of.scores_key, of.repair), make)

    def _moments_of(
        self, of: StageSpecs, progress: Progress
    ) -> tuple[Moments, ...] | None:
        """Read the second moments once for all criteria, where memory holds them."""
        dense = self.model(of.model, progress=progress)
        if not has_room(dense, copies=3):  # two parts, and the factors
            return None

        def make() -> tuple[Moments, ...]:
            windows = drawn(dense, of.calibration)[1]
            return tuple(moments(dense, windows, progress=progress))

        return self._moments.get(of[:2], make)
