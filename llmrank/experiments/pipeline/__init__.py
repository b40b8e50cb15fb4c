"""All stages at once: what was made is remembered, and made only once."""

from llmrank.experiments.pipeline.key import StageSpecs
from llmrank.experiments.pipeline.pipeline import Stages
from llmrank.experiments.pipeline.repair import TRIAL_TOKENS

__all__ = ["TRIAL_TOKENS", "StageSpecs", "Stages"]
