"""What a recovery is given: windows to train on, windows held out, a place to keep."""

from collections.abc import Callable
from contextlib import suppress

from torch import Tensor

from llmrank.core.errors import LLMRankError
from llmrank.core.progress import Progress, silent
from llmrank.data import texts
from llmrank.data.texts import EMBEDDED, MIX, SITUATIONS, all_windows
from llmrank.methods.recovery import (
    Checkpoint,
    Distillation,
    Moment,
    Recovered,
    Recovery,
    RecoveryInputs,
)
from llmrank.models.language_model import LanguageModel

Place = Callable[[str], Checkpoint]

SEQ_LEN = 256
"""Tokens of a window."""

HELD_OUT = 16
"""Windows of each text that chooses the state: 4,096 tokens."""


def recover(
    pruned: LanguageModel,
    dense: LanguageModel,
    spec: Recovery = Distillation(),
    *,
    progress: Progress = silent,
    publish: Callable[[Moment], None] = lambda _: None,
) -> Recovered:
    """Train a pruned model to do again what the dense one does; neither is changed.

    Args:
        pruned: cut, and repaired or not.
        dense: what it was before.
        spec: how it is trained, on what, and for how long.
        progress: called per step.
        publish: given each moment of the curve.

    Raises:
        LLMRankError: the text does not suffice, the loss is not finite, or the cut
            was to be done in steps.
    """
    if len(spec.each) > 1:
        raise LLMRankError("the model is cut already; take steps=1")
    inputs = recovery_inputs(spec, dense)
    return spec.recover(pruned, inputs, progress=progress, publish=publish)


def recovery_inputs(
    spec: Recovery, dense: LanguageModel, place: Place | None = None
) -> RecoveryInputs:
    """Cut the text into windows, and hold out some of it and of a second text.

    `place` gives where the training is kept, by the hash of the text.

    Raises:
        LLMRankError: the text cannot be read, or is too short.
    """
    named = spec.recovery_text or EMBEDDED
    text = texts.text(named, "calibration")
    every = all_windows(dense, text, seq_len=SEQ_LEN, at_least=2 * HELD_OUT)
    if named == MIX:
        held_out = _few(dense, MIX, "evaluation")
    else:
        every, held_out = every[:-HELD_OUT], every[-HELD_OUT:]
    other = SITUATIONS if named == EMBEDDED else EMBEDDED
    both = {"this text": held_out}
    with suppress(LLMRankError):  # a library without the embedded texts
        both["another text"] = _few(dense, other, "calibration")
    kept = None if place is None else place(text.sha256)
    return RecoveryInputs(dense, every, both, kept)


def _few(dense: LanguageModel, named: str, split: texts.Split) -> Tensor:
    """Take windows from all over a text."""
    text = texts.text(named, split)
    every = all_windows(dense, text, seq_len=SEQ_LEN, at_least=HELD_OUT)
    return every[:: len(every) // HELD_OUT][:HELD_OUT]
