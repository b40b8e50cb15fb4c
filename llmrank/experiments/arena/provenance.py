"""Where a cell's numbers come from: texts, weights, versions and the machine."""

from dataclasses import replace

import llmrank
from llmrank.core.errors import LLMRankError
from llmrank.data import texts
from llmrank.data.texts import Split
from llmrank.experiments.experiment import Experiment
from llmrank.experiments.run import environment
from llmrank.experiments.store import Origin
from llmrank.methods.criteria import Criterion
from llmrank.models.language_model import LanguageModel, weights_sample


def origin(experiment: Experiment, lm: LanguageModel) -> Origin:
    """Return what decides an experiment's numbers beside its recipe.

    Raises:
        LLMRankError: a text cannot be read.
    """
    where = environment(lm, experiment.calibration) | {
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


def criterion_origin(known: Origin, criterion: Criterion) -> Origin:
    """Return the origin with the second text of a criterion that reads one.

    A text that cannot be read is no text: scoring will say what is wrong with it.
    """
    second = criterion.second_text
    if not second:
        return known
    try:
        digest = _sha256(second, "calibration")
    except LLMRankError:
        return known
    return replace(known, environment=known.environment | {"second_text": digest})


def _sha256(source: str, split: Split) -> str:
    return texts.text(source, split).sha256
