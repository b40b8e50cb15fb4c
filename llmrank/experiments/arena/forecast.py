"""How long an arena will take, from what was measured here; the rest is not guessed."""

from collections.abc import Collection, Hashable, Mapping
from dataclasses import dataclass

from llmrank.calibration.activations import CalibrationSpec
from llmrank.core.formatting import counted, duration
from llmrank.core.pace import Plan, Step
from llmrank.data.tasks import estimated_tokens
from llmrank.evaluation.decoding import BenchmarkSpec
from llmrank.evaluation.latency import FFN_ROUNDS, Latency
from llmrank.experiments.arena.runner import title
from llmrank.experiments.arena.spec import ArenaSpec, cells
from llmrank.experiments.arena.stored import known_runs
from llmrank.experiments.expected_steps import TOKENS_PER_S, timing_steps
from llmrank.experiments.experiment import Experiment
from llmrank.experiments.pipeline import TRIAL_TOKENS, Pipeline
from llmrank.experiments.pipeline.stage import pruned_key
from llmrank.experiments.pipeline.widths import trial_key
from llmrank.experiments.store import Run, Store
from llmrank.methods.allocation import Additive, Search, Uniform
from llmrank.methods.width_search import FINALISTS, OFFSPRING, SHARES
from llmrank.models import ffn
from llmrank.models.language_model import ModelSpec

BACKWARD = 3
"""A pass forwards and backwards takes about as long as so many forwards."""

UNKNOWN_CELL_S = 60.0
"""A cell's seconds where nothing was measured here; the first one corrects it."""

EARLIER = 20
"""How many earlier runs of a model are searched for a timing."""


@dataclass(frozen=True)
class Forecast:
    """The time of what is missing; `seconds` counts all but `not_counted`.

    None where not even the reading of a text was measured here, unless the model is the
    embedded one: then it `is_ours`, the time on two cores. `n_failed` cells of those
    missing were tried and failed; `grid` says what the cells are.
    """

    seconds: float | None
    n_cells: int
    n_missing: int
    grid: str
    n_failed: int = 0
    is_ours: bool = False
    not_counted: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        """The forecast in words."""
        if self.n_missing == 0:
            return f"All {counted(self.n_cells, 'cell')} are measured."
        todo = f"{self.n_missing:,} of {counted(self.n_cells, 'cell')} to measure"
        if self.n_failed:
            todo += f" ({self.n_failed:,} failed; another run tries again)"
        else:
            todo += f" ({self.grid}, each a pruned model)"
        if self.seconds is None:
            return f"{todo}; how long that takes is known once a text was read here."
        without = f", not counted: {', '.join(self.not_counted)}"
        rest = without if self.not_counted else ""
        where = " on two cores like ours" if self.is_ours else ""
        return f"{todo}: {duration(self.seconds)}{where}{rest}."


def forecast(
    spec: ArenaSpec,
    pipeline: Pipeline,
    store: Store,
    runs: Mapping[int, Run] | None = None,
) -> Forecast:
    """Estimate the time of the cells that are not measured, here or elsewhere.

    `runs` is what `known_runs` says, where that was asked already.
    """
    grid = cells(spec)
    runs = known_runs(spec, store) if runs is None else runs
    done = {place for place, run in runs.items() if run.state == "done"}
    missing = [e for place, e in enumerate(grid) if place not in done]
    n_failed = sum(run.state == "failed" for run in runs.values())
    per_model = [_seconds(spec, m, missing, pipeline, store) for m in spec.models]
    known = [seconds for seconds, _ in per_model if seconds is not None]
    complete = len(known) == len(per_model)
    not_counted = dict.fromkeys(n for _, names in per_model for n in names)
    return Forecast(
        seconds=sum(known) if complete else None,
        n_cells=len(grid),
        n_missing=len(missing),
        grid=_grid(spec),
        n_failed=n_failed,
        is_ours=any(pipeline.tokens_per_s(m) is None for m in spec.models),
        not_counted=(*not_counted, "scoring, cutting and solving"),
    )


def _grid(spec: ArenaSpec) -> str:
    """Say what the cells are: 11 methods × 3 sparsities."""
    axes = {"model": spec.models, "method": spec.methods, "seed": spec.seeds}
    sizes = {noun: len(values) for noun, values in axes.items()}
    said = [counted(n, noun) for noun, n in sizes.items() if n > 1 or noun == "method"]
    n = len(spec.sparsities)
    return " × ".join([*said, "1 sparsity" if n == 1 else f"{n:,} sparsities"])


def expected_steps(spec: ArenaSpec, pipeline: Pipeline, store: Store) -> Plan:
    """Return the cells to come as steps of one job, for its progress bar.

    They count alike: what each takes beside the others is learned from the first.
    """
    grid, runs = cells(spec), known_runs(spec, store)
    done = {place for place, run in runs.items() if run.state == "done"}
    missing = [place for place in range(len(grid)) if place not in done]
    seconds = forecast(spec, pipeline, store, runs).seconds
    each_s = seconds / len(missing) if seconds and missing else UNKNOWN_CELL_S
    return tuple(
        Step(f"Cell {place + 1} of {len(grid)}, {title(grid[place])}", each_s)
        for place in missing
    )


def _seconds(
    spec: ArenaSpec,
    model: ModelSpec,
    missing: list[Experiment],
    pipeline: Pipeline,
    store: Store,
) -> tuple[float | None, tuple[str, ...]]:
    """Return the time of one model's cells, and what is left out of it."""
    own = [e for e in missing if e.model == model]
    pace = pipeline.tokens_per_s(model)
    if pace is None and model.name == "demo":
        pace = TOKENS_PER_S
    if not own or pace is None:
        return (None if own else 0.0), ()
    seconds, left_out = _tokens(spec, own, pipeline) / pace, []
    cuts = {pruned_key(e) for e in own}
    seconds += sum(e.method.recovery.expected_s(1 / pace) for e in cuts)
    if "latency" in spec.measures:
        timing_s = _timing_s(own[0], store)
        if timing_s is None and model.name == "demo":
            timing_s = sum(step.seconds for step in timing_steps(own[0], 1.0))
        if timing_s is None:
            left_out.append("latency, which was not measured here yet")
        seconds += len({_shape(e) for e in own}) * (timing_s or 0.0)
    if "memory" in spec.measures:
        left_out.append("peak memory")
    return seconds, tuple(left_out)


def _tokens(spec: ArenaSpec, own: list[Experiment], pipeline: Pipeline) -> int:
    """Count what is read: calibration, the text and the tasks, dense and pruned."""
    unread = {e.calibration for e in own if pipeline.stats.peek(e) is None}
    n = sum(_n_calibration(c) for c in unread)
    n += _beside(own, pipeline)
    if "text" in spec.measures:
        dense = pipeline.dense_text.peek(own[0])
        n += (len(own) + (dense is None)) * own[0].evaluation.eval_tokens
    for tasks in {e.tasks for e in own if "tasks" in spec.measures}:
        n_asked = 1 + sum(e.tasks == tasks for e in own)
        each = estimated_tokens(tasks.names, n_items=tasks.items, seed=tasks.items_seed)
        n += n_asked * each
    return n


def _beside(own: list[Experiment], pipeline: Pipeline) -> int:
    """Count what criteria, repairs and allocations read beside the statistics."""
    cuts = {pruned_key(e) for e in own}
    n = sum(e.method.repair.reads * _n_calibration(e.calibration) for e in cuts)
    solved = {e.calibration for e in cuts if e.method.repair.solves}
    sloped = {e.calibration for e in cuts if "gradients" in e.method.criterion.needs}
    n += sum(map(_n_calibration, solved))
    n += BACKWARD * sum(map(_n_calibration, sloped))
    return n + sum(_on_trial(e, pipeline) for e in _first_of_each(cuts, pipeline))


def _first_of_each(
    cuts: Collection[Experiment], pipeline: Pipeline
) -> list[Experiment]:
    """Leave one of those that share what their layers cost, and every search."""
    first: dict[Experiment, Experiment] = {}
    for cut in cuts:
        if "sensitivity" in cut.method.allocation.needs:
            first[trial_key(cut)] = cut.using(allocation=Additive())
        if cut.method.allocation.searches:
            first[cut] = cut
    return [e for e in first.values() if not pipeline.planner.has_widths(e)]


def _on_trial(experiment: Experiment, pipeline: Pipeline) -> int:
    """Count the tokens on which widths are tried."""
    allocation = experiment.method.allocation
    if isinstance(allocation, Search):
        # all on a quarter, the best of each generation on the whole
        each = round((1 / 4 + FINALISTS / OFFSPRING) * TRIAL_TOKENS)
        return each * allocation.evaluations
    n_layers = len(ffn.blocks(pipeline.model(experiment).model))
    # of each run only the blocks from the cut on, half of them on average
    return len(SHARES) * n_layers * TRIAL_TOKENS // 2


def _n_calibration(calibration: CalibrationSpec) -> int:
    return calibration.samples * calibration.seq_len


def _shape(cell: Experiment) -> Hashable:
    """Return what is equal where two cells share a timing, as far as is known before.

    With the same share in each layer, the widths do not depend on the scores.
    """
    is_uniform = cell.method.allocation == Uniform()
    return (cell.pruning, cell.benchmark, cell.method.repair) if is_uniform else cell


def _timing_s(cell: Experiment, store: Store) -> float | None:
    """Return how long one timing takes, from the latest one of the model."""
    runs = store.runs(
        columns={"model": [cell.model.name]}, states=("done",), limit=EARLIER
    )
    timed = [r.id for r in runs if "latency" in r.spec.measures]
    for measured in store.comparisons(timed).values():
        if measured.dense.latency is not None:
            return _pair_s(cell.benchmark, measured.dense.latency)
    return None


def _pair_s(spec: BenchmarkSpec, known: Latency) -> float:
    """Two models, a warm-up and the FFN's rounds beside the rounds that count."""
    prefill_ms = known.prefill.median * spec.prompt_tokens / known.prompt_tokens
    round_ms = prefill_ms + known.decode.median * spec.new_tokens
    return 2 * (1 + spec.repeats + FFN_ROUNDS) * round_ms * spec.batch / 1000
