"""MLP-Rank on small networks: the whole method at a size one can see."""

from llmrank.mlp.criteria import AUTHORS, MLP_CRITERIA, MLPRank, criterion, score
from llmrank.mlp.datasets import EMBEDDED, TITLES, DataSpec, check_open, examples
from llmrank.mlp.examples import Examples, Shape
from llmrank.mlp.experiment import Gain, Point, RetentionSpec, gains, retention, summary
from llmrank.mlp.files import as_bytes, load_network, network_of, save_network
from llmrank.mlp.graphs import ffns, graphs
from llmrank.mlp.hub_datasets import HUB_SETS
from llmrank.mlp.network import Network, accuracy, cut, logits, predictions
from llmrank.mlp.preferred_inputs import Likes, likes
from llmrank.mlp.pruning import Sweep, planned, prune, sweep
from llmrank.mlp.retraining import Recovery, recover
from llmrank.mlp.robustness import Shaken, brittleness, corrupt, shake
from llmrank.mlp.training import Epoch, MLPSpec, Trained, train

__all__ = [
    "AUTHORS",
    "EMBEDDED",
    "HUB_SETS",
    "MLP_CRITERIA",
    "TITLES",
    "DataSpec",
    "Epoch",
    "Examples",
    "Gain",
    "Likes",
    "MLPRank",
    "MLPSpec",
    "Network",
    "Point",
    "Recovery",
    "RetentionSpec",
    "Shaken",
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
    "ffns",
    "gains",
    "graphs",
    "likes",
    "load_network",
    "logits",
    "network_of",
    "planned",
    "predictions",
    "prune",
    "recover",
    "retention",
    "save_network",
    "score",
    "shake",
    "summary",
    "sweep",
    "train",
]
