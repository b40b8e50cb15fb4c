"""What decides a pruned model."""

from typing import NamedTuple

from llmrank.allocation import Allocation, Uniform
from llmrank.calibration import CalibrationSpec
from llmrank.criteria import Criterion
from llmrank.models import ModelSpec
from llmrank.pruning import PruningSpec
from llmrank.repair import NoRepair, Repair


class StageSpecs(NamedTuple):
    """What decides a pruned model; the first three decide its scores."""

    model: ModelSpec
    calibration: CalibrationSpec
    criterion: Criterion
    pruning: PruningSpec
    allocation: Allocation = Uniform()
    repair: Repair = NoRepair()
