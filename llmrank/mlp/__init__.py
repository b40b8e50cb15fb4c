"""MLP-Rank on small networks: the whole method at a size one can see."""

from llmrank.mlp.criteria import AUTHORS, MLP_CRITERIA, MLPRank, criterion, score
from llmrank.mlp.datasets import TITLES, DataSpec, check_open, examples
from llmrank.mlp.examples import Examples, Shape
from llmrank.mlp.experiment import Point, RetentionSpec, gains, retention, summary
from llmrank.mlp.files import as_bytes, load_network, network_of, save_network
from llmrank.mlp.graphs import graphs
from llmrank.mlp.hub_datasets import HUB_SETS
from llmrank.mlp.network import Network, accuracy, cut, logits, predictions
from llmrank.mlp.preferred_inputs import PreferredInput, preferred_inputs
from llmrank.mlp.pruning import Sweep, planned, prune, sweep
from llmrank.mlp.retraining import Recovery, recover
from llmrank.mlp.robustness import (
    RobustnessResult,
    brittleness,
    corrupt,
    robustness_results,
)
from llmrank.mlp.training import Epoch, MLPSpec, Trained, train

__all__ = [
    "AUTHORS",
    "HUB_SETS",
    "MLP_CRITERIA",
    "TITLES",
    "DataSpec",
    "Epoch",
    "Examples",
    "MLPRank",
    "MLPSpec",
    "Network",
    "Point",
    "PreferredInput",
    "Recovery",
    "RetentionSpec",
    "RobustnessResult",
    "Shape",
    "Sweep",
    "Trained",
    "accuracy",
    "as_bytes",
    "brittleness",
    "check_open",
    "corrupt",
    "criterion",
    "cut",
    "examples",
    "gains",
    "graphs",
    "load_network",
    "logits",
    "network_of",
    "planned",
    "predictions",
    "preferred_inputs",
    "prune",
    "recover",
    "retention",
    "robustness_results",
    "save_network",
    "score",
    "summary",
    "sweep",
    "train",
]
