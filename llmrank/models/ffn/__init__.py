"""The FFN layers of a model: found, viewed with one orientation, and cut."""

from llmrank.models.ffn.layers import (
    FFN,
    Projections,
    blocks,
    family,
    ffns,
    is_transposed,
    projections,
    shared_copy,
    widths,
)
from llmrank.models.ffn.surgery import (
    can_have_bias,
    cut,
    padded,
    prefix,
    reordered,
    resize,
    shifted,
    with_down,
)
