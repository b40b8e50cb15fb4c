"""The loss's gradients on calibration text, reduced to numbers per neuron."""

from llmrank.calibration.gradients.backward import (
    Gradients,
    LayerGradients,
    MemberGradients,
)
from llmrank.calibration.gradients.collect import (
    differentiate,
    differentiate_parts,
    measure,
)
from llmrank.calibration.gradients.memory import (
    check_memory,
    gradient_bytes,
    needed_bytes,
)
