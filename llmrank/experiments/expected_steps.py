"""The steps of a measurement, and how long each may take: for the progress bar alone.

The seconds are those of the embedded model on two cores, in proportion to the tokens
and the weights. A job corrects them by its own pace, and by what earlier ones took.
"""

from llmrank.core.errors import LLMRankError
from llmrank.core.pace import Plan, Step
from llmrank.data.tasks import estimated_tokens
from llmrank.evaluation.footprint import footprint
from llmrank.evaluation.latency import FFN_ROUNDS, FFN_TOKENS, ROUNDS_S
from llmrank.evaluation.perplexity import READING
from llmrank.experiments.experiment import Experiment
from llmrank.experiments.memory_estimate import estimate
from llmrank.experiments.pipeline import Pipeline
from llmrank.methods.criteria import LLMRank
from llmrank.methods.recovery.lora import CONTROL
from llmrank.methods.recovery.training import TRAINING

DEMO_BYTES = 538e6
TOKENS_PER_S = 500
DECODE_S = 0.05
LOADING_S = 4.0
SCORING_S = 0.5
CUTTING_S = 0.5
SOLVING_S = 8.0
BARE_PRODUCTS_S = 2.0
MEMORY_S = 10.0

MOMENTS = 2
"""Second moments take about so many times as long as reading alone."""

BACKWARD = 3
"""A pass forwards and backwards, as many."""


def measuring_steps(experiment: Experiment, pipeline: Pipeline) -> Plan:
    """Return the steps of `run`, without those whose results are there."""
    size = _size(experiment, pipeline)
    each_s = size / TOKENS_PER_S
    steps = [*_reading(experiment, pipeline, size)]
    if pipeline.pruned.peek(experiment) is None:
        steps += _cutting(experiment, size)
    texts = (pipeline.dense_text, pipeline.pruned_text)
    n_unread = sum(text.peek(experiment) is None for text in texts)
    if n_unread:
        n_tokens = n_unread * experiment.evaluation.eval_tokens
        steps.append(Step(READING, n_tokens * each_s))
    asked = experiment.tasks
    for name in asked.names:
        n = estimated_tokens((name,), n_items=asked.items, seed=asked.items_seed)
        steps += [Step(f"Asking {name}", n * each_s)] * 2
    return (
        *steps,
        *timing_steps(experiment, size),
        Step("Measuring peak memory", MEMORY_S),
    )


def _reading(experiment: Experiment, pipeline: Pipeline, size: float) -> Plan:
    steps = []
    if pipeline.model.peek(experiment) is None:
        steps.append(Step(f"Loading {experiment.model.name}", LOADING_S * size))
    read_s = _calibration_s(experiment, size)
    is_read = pipeline.evidence.is_kept(experiment)
    if not is_read and pipeline.stats.peek(experiment) is None:
        steps.append(Step("Calibrating", read_s))
    needs = experiment.method.criterion.needs
    if "gradients" in needs and pipeline.gradients.peek(experiment) is None:
        steps.append(Step("Taking gradients", BACKWARD * read_s))
    return tuple(steps)


def _cutting(experiment: Experiment, size: float) -> Plan:
    criterion, repair = experiment.method.criterion, experiment.method.repair
    read_s, steps = _calibration_s(experiment, size), []
    trained = _training(experiment, size)
    if isinstance(criterion, LLMRank) and criterion.from_planes:
        steps.append(Step(f"Building the {criterion.graph} planes", SCORING_S * size))
    else:
        steps.append(Step(f"Scoring by {criterion.name}", SCORING_S * size))
    cutting = Step("Cutting the layers", CUTTING_S * size)
    if repair.solves:
        moments = Step("Reading second moments", MOMENTS * read_s)
        return (
            *steps,
            moments,
            cutting,
            Step("Repairing the layers", SOLVING_S * size),
            *trained,
        )
    if repair.reads:
        steps.append(Step("Repairing layer by layer", repair.reads * read_s))
    return (*steps, cutting, *trained)


def _training(experiment: Experiment, size: float) -> Plan:
    recovery = experiment.method.recovery
    if not recovery.trains:
        return ()
    seconds = recovery.expected_s(size / TOKENS_PER_S)
    control = (Step(CONTROL, seconds),) if recovery.has_control else ()
    return (Step(TRAINING, seconds), *control)


def timing_steps(experiment: Experiment, size: float) -> Plan:
    """Return the steps of a timing, of a model so many times the embedded one."""
    spec = experiment.benchmark
    prefill_s = size * spec.batch * spec.prompt_tokens / TOKENS_PER_S
    token_s = size * spec.batch * DECODE_S
    asked_s = 2 * (1 + spec.repeats) * (prefill_s + spec.new_tokens * token_s)
    few = min(spec.new_tokens, FFN_TOKENS)
    inside_s = 2 * (1 + FFN_ROUNDS) * (prefill_s + few * token_s)
    return (
        Step("Measuring latency", max(asked_s, ROUNDS_S)),
        Step("Measuring the FFN layers", inside_s + BARE_PRODUCTS_S),
    )


def _calibration_s(experiment: Experiment, size: float) -> float:
    spec = experiment.calibration
    return size * spec.samples * spec.seq_len / TOKENS_PER_S


def _size(experiment: Experiment, pipeline: Pipeline) -> float:
    """Return how many times as large as the embedded model one is."""
    dense = pipeline.model.peek(experiment)
    if dense is not None:
        return footprint(dense).weight_bytes / DEMO_BYTES
    try:
        return estimate(experiment).dense_bytes / DEMO_BYTES
    except LLMRankError:  # the work itself will say so
        return 1.0
