"""Criteria: which neurons matter. Each is a small registered description."""

from llmrank.criteria.base import (
    CRITERIA,
    Criterion,
    Need,
    Scores,
    criterion,
    score,
    score_graphs,
)
from llmrank.criteria.llm_rank import LLMRank
from llmrank.criteria.norms import L1, L2, Activation, Wanda
from llmrank.criteria.random import Random
from llmrank.criteria.reverse_rank import ReverseRank
from llmrank.criteria.robust import GPrune
from llmrank.criteria.signals import Cfsp, Flap, TransAct
from llmrank.criteria.taylor import Gblm, Taylor

__all__ = [
    "CRITERIA",
    "L1",
    "L2",
    "Activation",
    "Cfsp",
    "Criterion",
    "Flap",
    "GPrune",
    "Gblm",
    "LLMRank",
    "Need",
    "Random",
    "ReverseRank",
    "Scores",
    "Taylor",
    "TransAct",
    "Wanda",
    "criterion",
    "score",
    "score_graphs",
]
