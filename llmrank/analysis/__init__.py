"""What scores and neurons say: one neuron, two criteria, stability, warnings."""

from llmrank.core.lazy import handed_on

__getattr__, __all__ = handed_on(__name__, diagnostics="symptoms")
