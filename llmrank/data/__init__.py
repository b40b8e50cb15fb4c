"""Texts and questions that models read, and the tokens that they become."""

from llmrank.core.lazy import handed_on

__getattr__, __all__ = handed_on(
    __name__,
    embedded="passages situations",
    texts="text",
    tokens="encoded fitting opening",
    tasks="TASKS Item Task",
)
