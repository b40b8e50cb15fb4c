"""What only draws or writes: charts, sentences, tables, the browser's data."""

from llmrank.core.lazy import handed_on

__getattr__, __all__ = handed_on(
    __name__,
    **{
        "notebook": "html",
        "sentences.summary": "table verdict",
    },
)
