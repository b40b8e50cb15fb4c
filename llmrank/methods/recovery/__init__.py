"""Recoveries: what is trained after the cut. Each is a registered description."""

# The order of the menus: what is imported first is registered first.
# isort: off
from llmrank.methods.recovery.base import (
    RECOVERIES,
    Checkpoint,
    Moment,
    Reading,
    Recovered,
    Recovery,
    RecoveryInputs,
    recovery,
)
from llmrank.methods.recovery.budget import Trained
from llmrank.methods.recovery.none import NoRecovery
from llmrank.methods.recovery.distil import Distillation
from llmrank.methods.recovery.lora import LoRA

# isort: on
