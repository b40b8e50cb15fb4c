"""One backward pass over calibration text, a window at a time."""

from collections.abc import Sequence
from itertools import accumulate

import torch
from jaxtyping import Int
from torch import Tensor

from llmrank.calibration.activations import CalibrationSpec, drawn
from llmrank.calibration.gradients.backward import Gradients, LayerGradients, Pass
from llmrank.calibration.gradients.memory import check_memory, too_little
from llmrank.core.progress import Progress, silent, track
from llmrank.data.tokens import opening
from llmrank.models.language_model import LanguageModel


def differentiate(
    lm: LanguageModel,
    spec: CalibrationSpec = CalibrationSpec(),
    *,
    progress: Progress = silent,
) -> Gradients:
    """Take the gradients of the loss on the calibration text.

    Raises:
        LLMRankError: the text is unusable, the memory does not suffice, or a gradient
            is not finite.
    """
    source, windows = drawn(lm, spec)
    n_given = 1 + len(opening(lm))
    (layers,) = measure(lm, windows, n_given=n_given, progress=progress)
    return Gradients(layers, len(windows), source.source, source.sha256)


def differentiate_parts(
    lm: LanguageModel,
    spec: CalibrationSpec,
    n_windows: Sequence[int],
    *,
    progress: Progress = silent,
) -> tuple[Gradients, ...]:
    """Take the gradients of leading parts of the calibration text, then of the last.

    Sums of absolute values do not add up: unlike statistics, those of parts cannot be
    combined, so that the sums are read off on the way.

    Returns:
        For each part, the gradients of all windows up to its end; and those of the last
        part alone.
    """
    source, windows = drawn(lm, spec)
    ends, last = tuple(accumulate(n_windows)), windows[-n_windows[-1] :]
    n_given = 1 + len(opening(lm))
    parts = measure(lm, windows, ends=ends, n_given=n_given, progress=progress)
    parts += measure(lm, last, n_given=n_given, progress=progress)
    sizes = (*ends, len(last))
    return tuple(
        Gradients(layers, n, source.source, source.sha256)
        for layers, n in zip(parts, sizes, strict=True)
    )


def measure(
    lm: LanguageModel,
    windows: Int[Tensor, "n_windows seq_len"],
    *,
    ends: Sequence[int] | None = None,
    n_given: int = 1,
    progress: Progress = silent,
) -> tuple[tuple[LayerGradients, ...], ...]:
    """Run window after window forwards and backwards, each one sample.

    The loss of a sample is its mean next-token cross-entropy. A twin runs; its weights
    ask for no gradient and get none: theirs is what flows back into a projection's
    output times what went in. The first `n_given` tokens of a window are read and not
    predicted.

    Returns:
        For each end (a number of windows, ascending; without any, all of them) the
        layers' gradients of all windows before it.

    Raises:
        LLMRankError: too little memory (before any work), or a gradient is not finite
            (naming the layer).
    """
    check_memory(lm, windows.shape[1])
    wanted = (len(windows),) if ends is None else ends
    parts = []
    try:
        with torch.enable_grad():
            run = Pass(lm, n_given)
            samples = track(windows.split(1), "Taking gradients", progress)
            for done, ids in enumerate(samples, start=1):
                run.add(ids.to(lm.device))
                if done in wanted:
                    parts.append(run.reduced())
    except torch.OutOfMemoryError as error:
        raise too_little(lm, windows.shape[1]) from error
    return tuple(parts)
