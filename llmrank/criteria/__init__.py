"""Criteria: which neurons matter. Each is a small registered description."""

from llmrank.criteria.base import CRITERIA, Criterion, Scores, criterion, score
from llmrank.criteria.llm_rank import LLMRank
from llmrank.criteria.norms import L1, L2, Activation, Wanda
from llmrank.criteria.random import Random

__all__ = [
    "CRITERIA",
    "L1",
    "L2",
    "Activation",
    "Criterion",
    "LLMRank",
    "Random",
    "Scores",
    "Wanda",
    "criterion",
    "score",
]
