"""The loss's gradients on calibration text, reduced to numbers per neuron."""

from llmrank.gradients.measured import differentiate, differentiate_parts, measure
from llmrank.gradients.results import Gradients, LayerGradients, MemberGradients
from llmrank.gradients.room import check_memory, gradient_bytes, needed_bytes

__all__ = [
    "Gradients",
    "LayerGradients",
    "MemberGradients",
    "check_memory",
    "differentiate",
    "differentiate_parts",
    "gradient_bytes",
    "measure",
    "needed_bytes",
]
