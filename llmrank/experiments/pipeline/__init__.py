"""All stages at once: what was made is remembered, and made only once."""

from llmrank.experiments.pipeline.pipeline import Pipeline
from llmrank.experiments.pipeline.widths import TRIAL_TOKENS

__all__ = ["TRIAL_TOKENS", "Pipeline"]
