"""Whether the calibration suffices: the same scores from halves and sizes of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean

import pandas as pd

from llmrank.agreement import Agreement, agreement
from llmrank.allocation import Allocation, Uniform
from llmrank.calibration import (
    ActivationStats,
    CalibrationSpec,
    calibrate_parts,
    combined,
)
from llmrank.criteria import Criterion, Scores, score
from llmrank.errors import LLMRankError
from llmrank.models import LanguageModel, ModelSpec
from llmrank.progress import Progress, silent, track
from llmrank.pruning import PruningPlan, PruningSpec, plan
from llmrank.spelling import share
from llmrank.stages import StageSpecs

DIVISORS = (8, 4, 2)
"""The sizes compared with all the calibration text: an eighth, a quarter, a half."""

ENOUGH = 0.1
"""The last doubling may move a tenth of what chance would move.

Counted against chance, since at 90 % two random choices already share 90 % of what
they drop. The tenth is a judgement from one measurement: demo model, llm-rank, 30 %
removed, 16,384 calibration tokens; perplexity on 4,096 others, relative to that:

    8,192 tokens: 0.14 moved, 1.03 [0.98, 1.08]
    4,096 tokens: 0.22 moved, 1.05 [1.01, 1.09]
    2,048 tokens: 0.30 moved, 1.09 [1.04, 1.14]
"""


@dataclass(frozen=True)
class Match:
    """How alike two scorings are that saw different parts of the calibration text.

    `by_chance` is the share of the first's dropped neurons that a random choice of as
    many in each layer would drop too; None where nothing is dropped.
    """

    n_tokens: tuple[int, int]
    agreement: Agreement
    by_chance: float | None

    @property
    def dropped_by_both(self) -> float | None:
        """The share of the first's dropped neurons that the second drops too."""
        return self.agreement.total.share

    @property
    def moved(self) -> float | None:
        """What changes sides, as a share of what would by chance; None: none dropped.

        0 means the same neurons are dropped, 1 that they agree no more than by chance.
        """
        if self.dropped_by_both is None or self.by_chance is None:
            return None
        return (1 - self.dropped_by_both) / (1 - self.by_chance)

    @property
    def mean_spearman(self) -> float | None:
        """The mean of the layers' rank correlations; None where none is defined."""
        known = list(self._known.values())
        return fmean(known) if known else None

    @property
    def worst_layer(self) -> int | None:
        """The layer with the lowest rank correlation."""
        return min(self._known, key=self._known.__getitem__, default=None)

    @property
    def worst_spearman(self) -> float | None:
        """The lowest rank correlation of a layer."""
        return min(self._known.values(), default=None)

    @property
    def _known(self) -> dict[int, float]:
        every = enumerate(self.agreement.spearman)
        return {layer: rho for layer, rho in every if rho is not None}


@dataclass(frozen=True)
class Stability:
    """How much scores and what is dropped depend on how much text was read.

    `halves` are two disjoint halves against each other; `sizes` are all the tokens
    against the leading eighth, quarter and half of them (those that differ).
    None and empty where the criterion looks at no data.
    """

    model: ModelSpec
    calibration: CalibrationSpec
    criterion: Criterion
    pruning: PruningSpec
    text_sha256: str | None
    halves: Match | None
    sizes: tuple[Match, ...]

    @property
    def enough(self) -> bool | None:
        """Whether the last doubling moved little; None where that has no meaning."""
        moved = self.sizes[-1].moved if self.sizes else None
        return None if moved is None else moved <= ENOUGH

    @property
    def sentence(self) -> str:
        """What was found, in one sentence."""
        if self.halves is None:
            name = self.criterion.name
            return f"{name} looks at no data: calibration does not matter for it."
        return _sentence(self.halves, self.sizes[-1], self.enough)


def stability(
    lm: LanguageModel,
    of: StageSpecs,
    *,
    parts: Sequence[ActivationStats] | None = None,
    progress: Progress = silent,
) -> Stability:
    """Score from halves and sizes of the calibration text, which is read once.

    Args:
        lm: the dense model.
        of: what is asked of it; its calibration's leading windows make the smaller
            sizes. A criterion that looks at no data reads no text; an allocation that
            was measured on all the text is taken for uniform.
        parts: `nested_parts` of the same model and calibration, where known.
        progress: called per batch and per scoring.

    Raises:
        LLMRankError: fewer than two windows, or as `calibrate` and `score`.
        ValueError: the parts are of another calibration.
        CancelledError: from `progress`.
    """
    specs = (lm.spec, *of[1:4])
    by = of.allocation if of.allocation.needs <= {"stats"} else Uniform()
    if not of.criterion.reads_activations:
        return Stability(*specs, text_sha256=None, halves=None, sizes=())
    read = parts or nested_parts(lm, of.calibration, progress=progress)
    _check_parts(read, of.calibration)
    sizes = [combined(read[:end]) for end in range(1, len(read) + 1)]
    every = track([*sizes, read[-1]], "Scoring parts of the text", progress)
    found = [_scored(lm, s, (of.criterion, of.pruning, by)) for s in every]
    *smaller, whole, second = found
    return Stability(
        *specs,
        text_sha256=read[0].text_sha256,
        halves=_match(smaller[-1], second),
        sizes=tuple(_match(whole, s) for s in smaller),
    )


def nested_parts(
    lm: LanguageModel, calibration: CalibrationSpec, *, progress: Progress = silent
) -> tuple[ActivationStats, ...]:
    """Read the text once, cut so that leading parts add up to the sizes compared.

    The last part is the second half.

    Raises:
        LLMRankError: fewer than two windows, or as `calibrate`.
    """
    return calibrate_parts(lm, calibration, _lengths(calibration), progress=progress)


def as_table(found: Stability) -> pd.DataFrame:
    """Return one row per comparison, for a chart and a CSV.

    Returns:
        Columns compared (halves, sizes), n_tokens, n_tokens_other, dropped_by_both,
        by_chance, moved, mean_spearman, worst_spearman, worst_layer.
    """
    halves = [] if found.halves is None else [("halves", found.halves)]
    rows = [*halves, *(("sizes", m) for m in found.sizes)]
    return pd.DataFrame([_row(compared, m) for compared, m in rows])


def shown_table(found: Stability) -> pd.DataFrame:
    """Return the same rows to be read, their numbers written as in the sentence."""
    halves = [] if found.halves is None else [("Two halves", found.halves)]
    rows = [*halves, *(("All against less", m) for m in found.sizes)]
    return pd.DataFrame([_shown(compared, m) for compared, m in rows])


_Scored = tuple[int, Scores, PruningPlan]


def _lengths(calibration: CalibrationSpec) -> list[int]:
    n = calibration.samples
    if n < 2:
        raise LLMRankError(
            "stability compares halves of the calibration text and needs samples of "
            "at least 2, got 1; read more windows"
        )
    ends = sorted({0, *(max(1, n // d) for d in DIVISORS), n})
    return [end - start for start, end in pairwise(ends)]


def _check_parts(parts: Sequence[ActivationStats], of: CalibrationSpec) -> None:
    expected = [n * of.seq_len for n in _lengths(of)]
    if [p.n_tokens for p in parts] != expected:
        raise ValueError(f"parts must have {expected} tokens for this calibration")


def _scored(
    lm: LanguageModel,
    stats: ActivationStats,
    planned: tuple[Criterion, PruningSpec, Allocation],
) -> _Scored:
    criterion, pruning, allocation = planned
    scores = score(lm, stats, criterion)
    return stats.n_tokens, scores, plan(scores, pruning, allocation, stats=stats)


def _match(a: _Scored, b: _Scored) -> Match:
    (n_a, scores_a, plan_a), (n_b, scores_b, plan_b) = a, b
    found = agreement(
        scores_a.normalised, scores_b.normalised, plan_a.keep, plan_b.keep
    )
    return Match((n_a, n_b), found, _by_chance(found, plan_a.dense_widths))


def _by_chance(found: Agreement, widths: Sequence[int]) -> float | None:
    pairs = zip(found.overlaps, widths, strict=True)
    shared = sum(o.n_a * o.n_b / width for o, width in pairs)
    return shared / found.total.n_a if found.total.n_a else None


def _sentence(halves: Match, doubled: Match, enough: bool | None) -> str:
    ranks = _ranks(halves)
    if doubled.dropped_by_both is None or halves.dropped_by_both is None:
        return (
            "Nothing is dropped, so that no text can change it; two halves of "
            f"{_tokens(halves)} tokens: {ranks}."
        )
    whole, half = doubled.n_tokens
    verdict = "enough" if enough else "more text would still move it"
    return (
        f"Two halves of {_tokens(halves)} tokens agree on "
        f"{share(halves.dropped_by_both)} of what is dropped "
        f"({share(halves.by_chance or 0)} by chance; {ranks}); reading {whole:,} "
        f"instead of {half:,} tokens changes {share(1 - doubled.dropped_by_both)} of "
        f"it: {verdict}."
    )


def _tokens(halves: Match) -> str:
    return " and ".join(f"{n:,}" for n in dict.fromkeys(halves.n_tokens))


def _ranks(found: Match) -> str:
    if found.mean_spearman is None:
        return "no rank correlation, since all scores are equal"
    mean, worst = found.mean_spearman, found.worst_spearman
    return (
        f"rank correlation {mean:.3f}, at worst {worst:.3f} in layer "
        f"{found.worst_layer}"
    )


def _row(compared: str, found: Match) -> dict[str, object]:
    return {
        "compared": compared,
        "n_tokens": found.n_tokens[0],
        "n_tokens_other": found.n_tokens[1],
        "dropped_by_both": found.dropped_by_both,
        "by_chance": found.by_chance,
        "moved": found.moved,
        "mean_spearman": found.mean_spearman,
        "worst_spearman": found.worst_spearman,
        "worst_layer": found.worst_layer,
    }


def _shown(compared: str, found: Match) -> dict[str, str]:
    mean, worst = found.mean_spearman, found.worst_spearman
    at_worst = f"{worst or 0:.3f} (layer {found.worst_layer})"
    return {
        "Compared": compared,
        "Tokens read": " and ".join(f"{n:,}" for n in found.n_tokens),
        "Dropped by both": _known(found.dropped_by_both),
        "The same by chance": _known(found.by_chance),
        "Moved (chance: 100 %)": _known(found.moved),
        "Rank correlation, mean": "–" if mean is None else f"{mean:.3f}",
        "At worst": "–" if worst is None else at_worst,
    }


def _known(ratio: float | None) -> str:
    return "–" if ratio is None else share(ratio)
