"""What decides a pruned model."""

from typing import NamedTuple

from llmrank.calibration.activations import CalibrationSpec
from llmrank.methods.allocation import Allocation, Uniform
from llmrank.methods.criteria import Criterion
from llmrank.methods.pruning import PruningSpec
from llmrank.methods.repair import NoRepair, Repair
from llmrank.models.language_model import ModelSpec


class StageSpecs(NamedTuple):
    """What decides a pruned model."""

    model: ModelSpec
    calibration: CalibrationSpec
    criterion: Criterion
    pruning: PruningSpec
    allocation: Allocation = Uniform()
    repair: Repair = NoRepair()

    @property
    def scores_key(self) -> tuple[ModelSpec, CalibrationSpec, Criterion]:
        """The specs that decide the scores."""
        return self.model, self.calibration, self.criterion
