"""What a model is: its families, where it comes from, how it is read and written."""

from llmrank.core.lazy import handed_on

__getattr__, __all__ = handed_on(
    __name__,
    language_model="LanguageModel ModelShape ModelSpec load shape",
    export="padded save zipped",
    families="FAMILIES SUPPORTED family_of",
)
