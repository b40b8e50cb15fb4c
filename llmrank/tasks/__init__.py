"""Zero-shot accuracy on multiple-choice tasks: the likeliest choice is the answer."""

from llmrank.tasks.accuracy import (
    Retained,
    Retention,
    TaskResult,
    evaluate_task,
    retention,
)
from llmrank.tasks.likelihood import log_likelihoods
from llmrank.tasks.questions import TASKS, Item, Task, asked, estimated_tokens

__all__ = [
    "TASKS",
    "Item",
    "Retained",
    "Retention",
    "Task",
    "TaskResult",
    "asked",
    "estimated_tokens",
    "evaluate_task",
    "log_likelihoods",
    "retention",
]
