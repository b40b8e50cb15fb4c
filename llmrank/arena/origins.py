"""Where a cell's numbers come from: texts, weights, versions and the machine."""

import hashlib
from dataclasses import replace

import torch

import llmrank
from llmrank import corpora
from llmrank.corpora import Split
from llmrank.criteria import Criterion
from llmrank.errors import LLMRankError
from llmrank.experiment import Experiment, environment
from llmrank.models import LanguageModel
from llmrank.store import Origin

SAMPLES = 64
"""How many values of each weight are looked at, evenly spaced."""


def origin(experiment: Experiment, lm: LanguageModel) -> Origin:
    """Return what decides an experiment's numbers beside its recipe.

    Raises:
        LLMRankError: a text cannot be read.
    """
    where = environment(lm) | {
        "llmrank": llmrank.__version__,
        "weights_sample_sha256": weights_sample(lm),
    }
    return Origin(
        calibration_sha256=_sha256(
            experiment.calibration.calibration_text, "calibration"
        ),
        evaluation_sha256=_sha256(experiment.evaluation.eval_text, "evaluation"),
        environment=where,
    )


def of_criterion(known: Origin, by: Criterion) -> Origin:
    """Return the origin with the second text of a criterion that reads one.

    A text that cannot be read is no text: scoring will say what is wrong with it.
    """
    second = getattr(by, "second_text", None)
    if not second:
        return known
    try:
        digest = _sha256(second, "calibration")
    except LLMRankError:
        return known
    return replace(known, environment=known.environment | {"second_text": digest})


@torch.inference_mode()
def weights_sample(lm: LanguageModel) -> str:
    """Hash some values of every weight: a folder's model may change under its name.

    Reading all would take as long as loading; no training leaves a sample unchanged.
    """
    digest = hashlib.sha256()
    for name, weight in lm.model.named_parameters():
        flat = weight.flatten()
        some = flat[:: max(1, len(flat) // SAMPLES)][:SAMPLES]
        digest.update(f"{name} {tuple(weight.shape)}".encode())
        digest.update(some.cpu().double().numpy().tobytes())
    return digest.hexdigest()


def _sha256(source: str, split: Split) -> str:
    return corpora.text(source, split).sha256
