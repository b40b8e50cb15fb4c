"""Cut and trained in several steps: each cut takes its share of the neurons."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial

import torch

from llmrank.core.progress import Progress, silent
from llmrank.methods.criteria import Scores
from llmrank.methods.pruning import PruningPlan
from llmrank.methods.recovery import (
    Checkpoint,
    Moment,
    Recovered,
    Recovery,
    RecoveryInputs,
)
from llmrank.models.language_model import LanguageModel

CutAgain = Callable[[LanguageModel], LanguageModel]
"""Cuts and repairs what the training before has left; of the first, dense."""


def in_steps(
    recovery: Recovery,
    cuts: Sequence[CutAgain],
    inputs: RecoveryInputs,
    *,
    progress: Progress = silent,
    publish: Callable[[Moment], None] = lambda _: None,
    enough: Callable[[], bool] = lambda: False,
) -> Recovered:
    """Cut in as many steps as the recovery has, and train after each.

    The curve is that of the last training; its tokens and seconds count those before.

    Raises:
        LLMRankError: as `Recovery.recover`.
    """
    model, last = inputs.dense, None
    for place, (cut, one) in enumerate(zip(cuts, recovery.each, strict=True)):
        there = replace(inputs, kept=_kept(inputs, place))
        later = partial(_later, before=last)
        done = one.recover(
            cut(model),
            there,
            progress=_part(progress, place, len(cuts)),
            publish=_then(later, publish),
            enough=enough,
        )
        last = replace(done, curve=tuple(map(later, done.curve)))
        model = last.model
    assert last is not None
    return last


def nested(
    scores: Scores, plan: PruningPlan, n_steps: int
) -> Iterator[tuple[Scores, PruningPlan]]:
    """Divide a plan into cuts of equal shares; each is of what the one before left.

    Which neurons go in the end is decided once, by the dense model's scores.

    Yields:
        the scores of what is there, and what of it is kept.
    """
    there = [torch.arange(n) for n in plan.dense_widths]
    for step in range(1, n_steps + 1):
        own = Scores(tuple(s[i] for s, i in zip(scores.layers, there, strict=True)))
        kept = [
            _stays(s, torch.isin(i, keep), _width(n, len(keep), step / n_steps))
            for s, i, keep, n in zip(
                own.layers, there, plan.keep, plan.dense_widths, strict=True
            )
        ]
        yield own, PruningPlan(tuple(kept), tuple(map(len, there)))
        there = [i[k] for i, k in zip(there, kept, strict=True)]


def _width(dense: int, kept: int, share: float) -> int:
    return round(dense * (kept / dense) ** share)


def _stays(scores: torch.Tensor, is_kept: torch.Tensor, width: int) -> torch.Tensor:
    """Return what stays: all that is kept in the end, of the others the highest."""
    last = torch.where(is_kept, torch.inf, scores.double())
    return last.argsort(descending=True, stable=True)[:width].sort().values


def _kept(inputs: RecoveryInputs, place: int) -> Checkpoint | None:
    if inputs.kept is None or place == 0:
        return inputs.kept
    return inputs.kept.beside(f"step-{place}")


def _part(progress: Progress, place: int, n_steps: int) -> Progress:
    """Report one of several equal parts of a step."""

    def report(what: str, done: int, total: int) -> None:
        progress(what, place * total + done, n_steps * total)

    return report


def _then(
    first: Callable[[Moment], Moment], publish: Callable[[Moment], None]
) -> Callable[[Moment], None]:
    return lambda moment: publish(first(moment))


def _later(moment: Moment, *, before: Recovered | None) -> Moment:
    """Count what was trained before."""
    if before is None:
        return moment
    end = before.curve[-1]
    return replace(
        moment,
        n_tokens=moment.n_tokens + end.n_tokens,
        elapsed_s=moment.elapsed_s + end.elapsed_s,
    )
