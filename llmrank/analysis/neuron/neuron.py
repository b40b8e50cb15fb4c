"""Which neuron is looked at."""

from collections.abc import Sequence

from llmrank.core.errors import OptionError
from llmrank.core.specs import option, spec


@spec
class Neuron:
    """One FFN neuron: its layer, and its row of `up` there."""

    layer: int = option(default=0, low=0, help="The layer, counted from 0")
    index: int = option(default=0, low=0, help="The neuron in its layer, from 0")


def check(neuron: Neuron, widths: Sequence[int]) -> None:
    """Refuse a neuron that a model with these FFN widths does not have.

    Raises:
        OptionError: it names the allowed range.
    """
    if neuron.layer >= len(widths):
        raise OptionError(
            f"layer must lie in 0 to {len(widths) - 1} for this model, "
            f"got {neuron.layer}"
        )
    width = widths[neuron.layer]
    if neuron.index >= width:
        raise OptionError(
            f"neuron must lie in 0 to {width - 1} in layer {neuron.layer}, "
            f"got {neuron.index}"
        )


def check_count(name: str, value: int) -> None:
    """Refuse to show fewer than one of something.

    Raises:
        OptionError: the value is below 1.
    """
    if value < 1:
        raise OptionError(f"{name} must be a whole number of at least 1, got {value}")
