"""Repairs: what is done to the weights that stay. Each is a registered description."""

# The order of the menus: what is imported first is registered first.
# isort: off
from llmrank.methods.repair.base import REPAIRS, RepairInputs, Cut, Repair, repair
from llmrank.methods.repair.least_squares import Factor, LeastSquares, factor
from llmrank.methods.repair.sequential import SequentialLeastSquares
from llmrank.methods.repair.bias import Bias, NoRepair

# isort: on
