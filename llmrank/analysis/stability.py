"""The same scores from halves and sizes of the calibration text, compared."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from statistics import fmean

from llmrank.analysis.agreement import Agreement, agreement
from llmrank.calibration.activations import (
    ActivationStats,
    CalibrationSpec,
    calibrate,
    calibrate_parts,
)
from llmrank.calibration.gradients import Gradients, differentiate_parts
from llmrank.core.errors import LLMRankError
from llmrank.core.formatting import share
from llmrank.core.progress import Progress, silent, track
from llmrank.data.tokens import fitting, opening
from llmrank.experiments.experiment import Experiment
from llmrank.methods.allocation import Uniform
from llmrank.methods.criteria import Criterion, Scores, score
from llmrank.methods.pruning import PruningPlan, PruningSpec, plan
from llmrank.models.language_model import LanguageModel, ModelSpec

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
class Parts:
    """What was read of the calibration text: of each size, ascending, and of a half.

    `stats` and `gradients` are of the sizes compared, then of the second half alone.
    `second`: the statistics on a criterion's second text, which is read once and whole.
    """

    stats: tuple[ActivationStats, ...]
    gradients: tuple[Gradients, ...] | None = None
    second: ActivationStats | None = None


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
    experiment: Experiment,
    *,
    parts: Parts | None = None,
    progress: Progress = silent,
) -> Stability:
    """Score from halves and sizes of the calibration text, which is read once.

    A criterion that looks at no data reads no text; an allocation that was measured on
    all the text is taken for uniform. `parts` of the same model and calibration, where
    they are known, serve every sparsity and every criterion that needs the same.

    Raises:
        LLMRankError: fewer than two windows, or as `calibrate` and `score`.
        ValueError: the parts are of another calibration.
        CancelledError: from `progress`.
    """
    calibration, criterion = experiment.calibration, experiment.method.criterion
    specs = (lm.spec, calibration, criterion, experiment.pruning)
    if not criterion.needs:
        return Stability(*specs, text_sha256=None, halves=None, sizes=())
    read = parts or nested_parts(lm, calibration, criterion, progress=progress)
    _check_parts(lm, read, calibration)
    gradients = read.gradients or (None,) * len(read.stats)
    pairs = list(zip(read.stats, gradients, strict=True))
    every = track(pairs, "Scoring parts of the text", progress)
    *smaller, whole, second = [_scored(lm, experiment, *p, read.second) for p in every]
    return Stability(
        *specs,
        text_sha256=read.stats[0].text_sha256,
        halves=_match(smaller[-1], second),
        sizes=tuple(_match(whole, s) for s in smaller),
    )


def nested_parts(
    lm: LanguageModel,
    calibration: CalibrationSpec,
    criterion: Criterion,
    *,
    progress: Progress = silent,
) -> Parts:
    """Read what a criterion needs, cut so that leading parts are the sizes compared.

    Activations take one pass over the text, gradients one and a half.

    Raises:
        LLMRankError: fewer than two windows, or as `calibrate` and `differentiate`.
    """
    lengths, gradients, second = _lengths(calibration), None, None
    stats = calibrate_parts(lm, calibration, lengths, progress=progress)
    if "gradients" in criterion.needs:
        gradients = differentiate_parts(lm, calibration, lengths, progress=progress)
    if criterion.second_text is not None:
        beside = replace(calibration, calibration_text=criterion.second_text)
        second = calibrate(lm, beside, progress=progress)
    return Parts(stats, gradients, second)


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


def _check_parts(lm: LanguageModel, parts: Parts, asked: CalibrationSpec) -> None:
    length = len(opening(lm)) + fitting(lm, asked.seq_len)
    lengths = _lengths(asked)
    expected = [n * length for n in (*accumulate(lengths), lengths[-1])]
    if [p.n_tokens for p in parts.stats] != expected:
        raise ValueError(f"parts must have {expected} tokens for this calibration")


def _scored(
    lm: LanguageModel,
    experiment: Experiment,
    stats: ActivationStats,
    gradients: Gradients | None,
    second: ActivationStats | None,
) -> _Scored:
    criterion, own = experiment.method.criterion, experiment.method.allocation
    scores = score(lm, stats, criterion, gradients=gradients, second=second)
    allocation = own if own.needs <= {"stats"} else Uniform()
    made = plan(scores, experiment.pruning, allocation, stats=stats)
    return stats.n_tokens, scores, made


def _match(a: _Scored, b: _Scored) -> Match:
    (n_a, scores_a, plan_a), (n_b, scores_b, plan_b) = a, b
    agreed = agreement(scores_a.normalised, scores_b.normalised, plan_a, plan_b)
    return Match((n_a, n_b), agreed, _by_chance(agreed, plan_a.dense_widths))


def _by_chance(agreement: Agreement, widths: Sequence[int]) -> float | None:
    pairs = zip(agreement.overlaps, widths, strict=True)
    shared = sum(o.n_a * o.n_b / width for o, width in pairs)
    return shared / agreement.total.n_a if agreement.total.n_a else None


def _sentence(halves: Match, doubled: Match, enough: bool | None) -> str:
    if doubled.dropped_by_both is None or halves.dropped_by_both is None:
        return (
            "Nothing is dropped, so that no text can change it; two halves of "
            f"{_tokens(halves)} tokens: {_ranks(halves)}."
        )
    whole, half = doubled.n_tokens
    verdict = "enough" if enough else "more text would still move it"
    return (
        f"Two halves of {_tokens(halves)} tokens agree on "
        f"{share(halves.dropped_by_both)} of what is dropped "
        f"({share(halves.by_chance or 0)} by chance; {_ranks(halves)}); "
        f"reading {whole:,} instead of {half:,} tokens changes "
        f"{share(1 - doubled.dropped_by_both)} of it: {verdict}."
    )


def _tokens(halves: Match) -> str:
    return " and ".join(f"{n:,}" for n in dict.fromkeys(halves.n_tokens))


def _ranks(match: Match) -> str:
    if match.mean_spearman is None:
        return "no rank correlation, since all scores are equal"
    mean, worst = match.mean_spearman, match.worst_spearman
    return (
        f"rank correlation {mean:.3f}, at worst {worst:.3f} in layer "
        f"{match.worst_layer}"
    )
