"""What is read inside the dense model: activations, moments, gradients."""

from llmrank.core.lazy import handed_on

__getattr__, __all__ = handed_on(
    __name__,
    activations="ActivationStats CalibrationSpec calibrate",
    gradients="Gradients differentiate",
)
