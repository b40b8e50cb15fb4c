"""All stages at once: what was made is remembered, and made only once."""

from llmrank.stages.mended import TRIAL_TOKENS
from llmrank.stages.specs import StageSpecs
from llmrank.stages.whole import Stages

__all__ = ["TRIAL_TOKENS", "StageSpecs", "Stages"]
