"""Perplexity and next-token accuracy on held-out text, with their uncertainty."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from llmrank.core.errors import LLMRankError
from llmrank.core.progress import Progress, silent, track
from llmrank.core.specs import option, spec
from llmrank.core.statistics import Estimate, exponentiated, t_interval
from llmrank.data import texts, tokens
from llmrank.models.language_model import LanguageModel

READING = "Reading held-out text"
"""What is reported per window."""

WINDOW = 512
"""Tokens of the text per window, where the model takes as many; windows do not overlap
and do not see each other."""


@spec
class EvaluationSpec:
    """The held-out text that dense and pruned models are measured on."""

    eval_text: str = option(
        default=texts.EMBEDDED,
        help="embedded (other Wikipedia passages than calibration's), or a text file",
    )
    eval_tokens: int = option(
        default=4096, low=1024, high=10_000_000,
        help="How many tokens are read, in windows of 512 (fewer where the model takes "
        "fewer); more narrows the interval",
    )  # fmt: skip


@dataclass(frozen=True)
class TextEvaluation:
    """Per-window results on one text; equal windows make results pairable.

    `seq_len`: tokens of the text in each; `bos`: what stood before them, as it is
    written, which is empty for nothing.
    """

    nll: Float[Tensor, " n_windows"]
    correct: Float[Tensor, " n_windows"]
    text_source: str
    text_sha256: str
    seq_len: int = WINDOW
    bos: str = ""

    @property
    def n_tokens(self) -> int:
        """Tokens of the text (of each window all but the first are predicted)."""
        return len(self.nll) * self.seq_len

    @property
    def windows(self) -> tuple[str, int, int, str]:
        """What two results must have alike to be paired, window by window."""
        return self.text_sha256, len(self.nll), self.seq_len, self.bos

    @property
    def perplexity(self) -> Estimate:
        """Exp of the mean nll; a t-interval over windows, exponentiated."""
        return exponentiated(t_interval(self.nll))

    @property
    def top1(self) -> Estimate:
        """Share of tokens guessed first; a t-interval over windows."""
        return t_interval(self.correct)

    def first(self, n_windows: int) -> "TextEvaluation":
        """Return the result on the first windows alone, to pair it with a part."""
        return replace(self, nll=self.nll[:n_windows], correct=self.correct[:n_windows])


Publish = Callable[[TextEvaluation], None]


def evaluate(
    lm: LanguageModel,
    spec: EvaluationSpec = EvaluationSpec(),
    *,
    progress: Progress = silent,
    publish: Publish | None = None,
) -> TextEvaluation:
    """Measure perplexity and top-1 accuracy on held-out text.

    Args:
        lm: the model, dense or pruned.
        spec: which text and how much of it.
        progress: called per window.
        publish: given the result so far after each window.

    Raises:
        LLMRankError: the text is unusable, or the model's output is not finite.
    """
    for so_far in evaluations(lm, spec, progress=progress):
        if publish is not None:
            publish(so_far)
    return so_far


def evaluations(
    lm: LanguageModel, spec: EvaluationSpec, *, progress: Progress = silent
) -> Iterator[TextEvaluation]:
    """Yield the result so far after each window; the last is `evaluate`'s.

    Raises:
        LLMRankError: as `evaluate`.
    """
    source = texts.text(spec.eval_text, "evaluation")
    windows = texts.first_windows(lm, source, n_tokens=spec.eval_tokens, seq_len=WINDOW)
    n_before, bos = len(tokens.opening(lm)), tokens.opening_text(lm)
    seq_len = windows.shape[1] - n_before
    results: list[tuple[float, float]] = []
    for window in track(windows.unbind(), READING, progress):
        results.append(_read_window(lm, window, n_before + 1))
        yield TextEvaluation(
            *_columns(results), source.source, source.sha256, seq_len, bos
        )


def in_turn(
    models: Sequence[LanguageModel],
    spec: EvaluationSpec,
    *,
    progress: Progress = silent,
) -> Iterator[tuple[TextEvaluation, ...]]:
    """Yield all models' results so far after each window, read one after another.

    Raises:
        LLMRankError: as `evaluate`.
    """
    n = len(models)

    def counted(place: int) -> Progress:
        return lambda what, done, total: progress(
            what, min(done * n + place, total * n), total * n
        )

    reading = (
        evaluations(lm, spec, progress=counted(place))
        for place, lm in enumerate(models)
    )
    yield from zip(*reading, strict=True)


def perplexity_ratio(dense: TextEvaluation, pruned: TextEvaluation) -> Estimate:
    """Return pruned / dense perplexity, paired by window.

    Raises:
        LLMRankError: the two were not measured on the same windows.
    """
    _check_paired(dense, pruned)
    return exponentiated(t_interval(pruned.nll - dense.nll))


def top1_retention(dense: TextEvaluation, pruned: TextEvaluation) -> Estimate:
    """Return pruned / dense top-1 accuracy, paired by window.

    A ratio of means; its interval linearises the ratio (the delta method).

    Raises:
        LLMRankError: the two were not measured on the same windows.
    """
    _check_paired(dense, pruned)
    base = float(dense.correct.mean())
    if base == 0:
        return Estimate(0.0, 0.0, float("inf"), len(dense.correct))
    ratio = float(pruned.correct.mean()) / base
    around = t_interval((pruned.correct - ratio * dense.correct) / base)
    return Estimate(ratio, ratio + around.low, ratio + around.high, len(dense.correct))


@torch.inference_mode()
def _read_window(
    lm: LanguageModel, window: Int[Tensor, " pos"], n_given: int
) -> tuple[float, float]:
    """Return the mean nll and the share of right first guesses after those given."""
    ids = window.to(lm.device)
    wanted = ids[n_given:]
    logits = lm.model(ids[None], use_cache=False).logits[0, n_given - 1 : -1].float()
    nll = float(torch.nn.functional.cross_entropy(logits, wanted))
    if nll != nll or nll == float("inf"):
        raise LLMRankError(
            "the model's output is not finite on this text; it overflows in "
            f"{lm.spec.dtype}: use float32, or prune less"
        )
    return nll, float((logits.argmax(-1) == wanted).float().mean())


def _columns(results: list[tuple[float, float]]) -> tuple[Tensor, Tensor]:
    table = torch.tensor(results, dtype=torch.float64)
    return table[:, 0], table[:, 1]


def _check_paired(dense: TextEvaluation, pruned: TextEvaluation) -> None:
    if dense.windows != pruned.windows:
        raise LLMRankError(
            "dense and pruned were not measured on the same text, or not in the same "
            "windows; it has changed in between, so measure again"
        )
