"""Repairs: what is done to the weights that stay. Each is a registered description."""

from llmrank.repair.base import REPAIRS, Basis, Cutter, Repair, repair
from llmrank.repair.least_squares import Factor, LeastSquares, factor
from llmrank.repair.sequential import SequentialLeastSquares
from llmrank.repair.simple import Bias, NoRepair

__all__ = [
    "REPAIRS",
    "Basis",
    "Bias",
    "Cutter",
    "Factor",
    "LeastSquares",
    "NoRepair",
    "Repair",
    "SequentialLeastSquares",
    "factor",
    "repair",
]
