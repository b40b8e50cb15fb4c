"""Criteria: which neurons matter. Each is a small registered description."""

# The order of the menus: what is imported first is registered first.
# isort: off
from llmrank.methods.criteria.base import (
    CRITERIA,
    Criterion,
    Need,
    Scores,
    criterion,
    score,
    score_graphs,
)
from llmrank.methods.criteria.llm_rank import LLMRank
from llmrank.methods.criteria.norms import L1, L2, Activation, Random, Wanda
from llmrank.methods.criteria.reverse_rank import ReverseRank
from llmrank.methods.criteria.gprune import GPrune
from llmrank.methods.criteria.activations import Cfsp, Flap, TransAct
from llmrank.methods.criteria.gradients import Gblm, Taylor

# isort: on
