"""All stages at once: what was made is remembered, and made only once."""

from llmrank.stages.specs import StageSpecs
from llmrank.stages.whole import Stages

__all__ = ["StageSpecs", "Stages"]
