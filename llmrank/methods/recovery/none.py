"""No recovery."""

from typing import Any

from llmrank.core.specs import spec
from llmrank.methods.recovery.base import (
    RECOVERIES,
    Recovered,
    Recovery,
    RecoveryInputs,
)
from llmrank.models.language_model import LanguageModel


@RECOVERIES.add("none")
@spec
class NoRecovery(Recovery):
    """Nothing is trained."""

    trains = False
    formula = r"w' = w"

    def recover(
        self,
        pruned: LanguageModel,
        inputs: RecoveryInputs,  # noqa: ARG002
        **_: Any,
    ) -> Recovered:
        """Return what was pruned as it is."""
        return Recovered(pruned)
