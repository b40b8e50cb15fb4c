"""How many items a model gets right, and how much of that pruning leaves."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from llmrank.core.errors import LLMRankError
from llmrank.core.progress import Progress, silent
from llmrank.core.specs import option, spec
from llmrank.core.statistics import t_interval
from llmrank.data.tasks import TASKS, Item, asked
from llmrank.evaluation.likelihood import Parted, parted, scored
from llmrank.models.language_model import LanguageModel


@dataclass(frozen=True, eq=False)
class TaskResult:
    """Which items of a task a model got right (1) and wrong (0).

    `correct` goes by log-likelihood, `correct_norm` by log-likelihood per character;
    `chance` is each item's accuracy of guessing, `rows` its place in the dataset.
    `n_left_out`: items with a choice that the tokenizer cannot part from its question.
    """

    name: str
    correct: Float[Tensor, " n_items"]
    correct_norm: Float[Tensor, " n_items"]
    chance: Float[Tensor, " n_items"]
    rows: Int[Tensor, " n_items"]
    n_left_out: int = 0

    @property
    def n_items(self) -> int:
        """How many items were asked, without those left out."""
        return len(self.correct)

    @property
    def acc(self) -> float:
        """Share of right answers by log-likelihood."""
        return _mean(self.correct)

    @property
    def acc_norm(self) -> float:
        """Share of right answers by log-likelihood per character."""
        return _mean(self.correct_norm)

    @property
    def stderr(self) -> float:
        """Standard error of `acc`."""
        return _stderr(self.correct)

    @property
    def stderr_norm(self) -> float:
        """Standard error of `acc_norm`."""
        return _stderr(self.correct_norm)

    @property
    def chance_level(self) -> float:
        """The accuracy of guessing every item."""
        return _mean(self.chance)


@dataclass(frozen=True)
class Retained:
    """How much of one accuracy pruning leaves.

    `ratio` is pruned / dense, `above_chance` (pruned - chance) / (dense - chance).
    Where the dense model leaves nothing to retain they are None, and `note` says so;
    it also says when the dense model is within two standard errors of chance.
    `difference` is pruned - dense, paired by item, with its 95 % t-interval.
    """

    ratio: float | None
    above_chance: float | None
    difference: float
    low: float
    high: float
    note: str


@dataclass(frozen=True)
class Retention:
    """How much of a task's two accuracies pruning leaves."""

    name: str
    n_items: int
    acc: Retained
    acc_norm: Retained


def evaluate_task(
    lm: LanguageModel,
    name: str,
    *,
    n_items: int,
    seed: int = 0,
    progress: Progress = silent,
) -> TaskResult:
    """Ask a model some items of a task, without examples and chat template.

    As in lm-evaluation-harness (`ConfigurableTask.process_results`), `acc` takes the
    choice of highest log-likelihood, `acc_norm` the highest per character of the
    choice (its opening space not counted), and of equals the first. Three departures:
    the items are of the validation splits (the harness asks the test splits of ARC and
    OpenBookQA); BoolQ's passages come without their titles; and acc_norm is also given
    for BoolQ and WinoGrande, where the harness gives none (in WinoGrande it equals
    acc: both choices continue with the same text).

    Args:
        lm: the model, dense or pruned.
        name: a name in `TASKS`.
        n_items: how many items; all there are where there are fewer.
        seed: which items; the same for the same seed, and fewer are among more.
        progress: called per forward pass; these take about equally long.

    Raises:
        LLMRankError: the data is not installed, the task is unknown, fewer than two
            items are asked for or can be, or the model's output is not finite.
    """
    rows, every = asked(name, n_items=n_items, seed=seed)
    pairs = [_parted(lm, item) for item in every]
    kept = [i for i, likelihood in enumerate(pairs) if likelihood]
    if len(kept) < 2:
        raise LLMRankError(
            f"{name} cannot be asked: {lm.spec.name} has no tokens that part the "
            f"choices of {len(every) - len(kept)} of {len(every)} items from their "
            "questions, or too few positions for them; choose another task"
        )
    items, flat = [every[i] for i in kept], [pair for i in kept for pair in pairs[i]]
    sums = scored(lm, flat, what=f"Asking {name}", progress=progress)
    by_item = list(zip(items, sums.split([len(i.choices) for i in items]), strict=True))
    return TaskResult(
        name=name,
        correct=_right(by_item),
        correct_norm=_right([(i, s / _lengths(i)) for i, s in by_item]),
        chance=torch.tensor([item.chance for item in items], dtype=torch.float32),
        rows=rows[kept],
        n_left_out=len(every) - len(kept),
    )


def retention(dense: TaskResult, pruned: TaskResult) -> Retention:
    """Compare two models on the same items.

    Raises:
        ValueError: they were not asked the same items of the same task.
    """
    if dense.name != pruned.name or not torch.equal(dense.rows, pruned.rows):
        raise ValueError("retention needs the same items of the same task")
    chance = dense.chance_level
    return Retention(
        name=dense.name,
        n_items=dense.n_items,
        acc=_retained(dense.correct, pruned.correct, chance),
        acc_norm=_retained(dense.correct_norm, pruned.correct_norm, chance),
    )


def _retained(
    dense: Float[Tensor, " n_items"], pruned: Float[Tensor, " n_items"], chance: float
) -> Retained:
    before, after = _mean(dense), _mean(pruned)
    change = t_interval(pruned - dense)
    return Retained(
        ratio=after / before if before > 0 else None,
        above_chance=(after - chance) / (before - chance) if before > chance else None,
        difference=change.value,
        low=change.low,
        high=change.high,
        note=_note(before, _stderr(dense), chance),
    )


def _note(dense: float, stderr: float, chance: float) -> str:
    """Say what keeps a retention from meaning much, or nothing."""
    if dense <= chance:
        return (
            f"the dense model ({dense:.3f}) is not above chance ({chance:.3f}): "
            "there is nothing to retain"
        )
    if dense - 2 * stderr <= chance:
        return (
            f"the dense model ({dense:.3f} ± {stderr:.3f}) is hardly above chance "
            f"({chance:.3f}): ask more items"
        )
    return ""


def _parted(lm: LanguageModel, item: Item) -> list[Parted]:
    """Part all pairs of an item; none where one of them cannot be."""
    parts = [pair for p in item.pairs if (pair := parted(lm, *p)) is not None]
    return parts if len(parts) == len(item.pairs) else []


def _right(scored: list[tuple[Item, Tensor]]) -> Float[Tensor, " n_items"]:
    """Mark the items whose first highest score is the right choice's (numpy's rule)."""
    right = [float(s.numpy().argmax() == item.gold) for item, s in scored]
    return torch.tensor(right, dtype=torch.float32)


def _lengths(item: Item) -> Tensor:
    return torch.tensor([len(choice) for choice in item.choices])


def _mean(values: Float[Tensor, " n_items"]) -> float:
    return float(values.double().mean())


def _stderr(correct: Float[Tensor, " n_items"]) -> float:
    """Sample standard deviation over the root of n, as the harness' `mean_stderr`."""
    return float(correct.double().std() / len(correct) ** 0.5)


@spec
class TaskSpec:
    """Which zero-shot tasks are asked, and how many items of each."""

    tasks: str = option(default="", help="Names separated by commas, or all, or none")
    items: int = option(
        default=100, low=2, high=20000, help="Items asked per task, drawn by the seed"
    )
    items_seed: int = option(default=0, low=0, high=2**31, help="Which items are drawn")

    @property
    def names(self) -> tuple[str, ...]:
        """The task names, each known.

        Raises:
            OptionError: a name that is not registered.
        """
        if self.tasks.strip() == "all":
            return tuple(TASKS)
        names = [n.strip() for n in self.tasks.split(",")]
        asked = tuple(dict.fromkeys(n for n in names if n and n != "none"))
        for name in asked:
            TASKS[name]
        return asked
