"""Where and with what numbers are measured."""

import datetime
import importlib.metadata
import platform

import torch

from llmrank.calibration.activations import CalibrationSpec
from llmrank.data import tokens
from llmrank.models.language_model import LanguageModel


def environment(lm: LanguageModel, calibration: CalibrationSpec) -> dict[str, str]:
    """Return where and with what numbers are measured."""
    packages = ("torch", "transformers")
    now = datetime.datetime.now(datetime.UTC)
    return {
        "measured_at": now.isoformat("T", "seconds"),
        "device": str(lm.device),
        "dtype": lm.spec.dtype,
        **tokens.facts(lm, calibration.seq_len),
        "n_threads": str(torch.get_num_threads()),
        "machine": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in packages},
    }
