"""What measurements say, what they were taken on, and the tables behind charts."""

from collections.abc import Collection, Mapping, Sequence

import pandas as pd

from llmrank.core.formatting import counted, number, share, times
from llmrank.core.statistics import times_spread
from llmrank.evaluation import shape_timing
from llmrank.evaluation.comparison import Comparison
from llmrank.evaluation.latency import Latency
from llmrank.evaluation.peak_memory import MemoryPeak
from llmrank.evaluation.shape_timing import SpeedPoint
from llmrank.evaluation.speedup import as_fast, disturbance_sentence
from llmrank.experiments.arena import Entry
from llmrank.experiments.experiment import Experiment
from llmrank.experiments.frontier import agree, n_tokens
from llmrank.experiments.run import Report
from llmrank.experiments.store import Run
from llmrank.methods.method import label
from llmrank.report.sentences.summary import left_out, windows
from llmrank.report.tables.comparison import Phase, timing_of
from llmrank.report.tables.lowest import RATIO, lowest
from llmrank.report.tables.runs import name

GLOSSARY = """\
- **Perplexity**: among how many equally likely tokens the model hesitates at each \
step; lower is better.
- **Top-1 accuracy**: the share of tokens that the model held to be the likeliest.
- **Kept**: pruned / dense. **Above chance**: the same after taking off what guessing \
gives.
- **By length**: choices compared by log-likelihood per character (acc_norm).
- **Prefill** reads the prompt at once, **decode** writes one token after the other.
- **MACs**: multiplications with a weight, each with its addition.
"""
"""The words of the measurements, for those who meet them for the first time."""


def elsewhere_sentence(shown: Report, in_hand: Experiment, *, ours: bool) -> str:
    """Say whose figures stand in until the settings in hand are measured, and how far.

    Args:
        shown: what stands in: the same method, measured before.
        in_hand: what is not measured yet.
        ours: it is shipped with the app.
    """
    theirs, read = shown.experiment, shown.experiment.calibration
    other = (
        []
        if theirs.pruning == in_hand.pruning
        else [
            f"{share(theirs.pruning.sparsity)} removed instead of "
            f"{share(in_hand.pruning.sparsity)}"
        ]
    )
    if read != in_hand.calibration:
        own = in_hand.calibration
        other.append(
            f"calibrated on {read.samples:,} × {read.seq_len:,} tokens instead of "
            f"{own.samples:,} × {own.seq_len:,}"
        )
    source = "our measurement, shipped with the app" if ours else "an earlier run"
    said = f"**Not measured here yet**, so the dots are hollow: this is {source}"
    return f"{', '.join([said, *other])}."


def runs_sentence(entries: Sequence[Entry], shipped: Collection[str]) -> str:
    """Say whose perplexity over dense is the lowest, where that can be told.

    Args:
        entries: of runs that remove as much, at least one, each with that ratio.
        shipped: the runs among them that are not one's own.
    """

    def said(entry: Entry) -> str:
        whose = ", shipped" if entry.run.id in shipped else ""
        ratio = times_spread(entry.figures[RATIO])
        return f"**{name(entry.run)}** ({ratio}{whose})"

    first, *others = tied = lowest(entries)
    at = f"At {share(first.run.spec.recipe['pruning']['sparsity'])} removed"
    if len(entries) == 1:
        return f"{at} only {said(first)} is measured: perplexity over dense."
    own = [e for e in entries if e.run.id not in shipped]
    mine, *equals = lowest(own) if own else (first,)
    is_tied = mine.run.id in {e.run.id for e in tied}
    what = "the lowest" if not equals else "the lowest, as far as it can be told"
    yours = "" if is_tied else f"; of what only you measured {said(mine)} is {what}"
    if not others:
        return f"{at} {said(first)} has the lowest perplexity over dense{yours}."
    second = mine if is_tied and mine is not first else others[0]
    more = f" or {len(tied) - 2:,} more" if len(tied) > 2 else ""
    both = f"{said(first)} or {said(second)}{more}"
    return f"{at} the lowest perplexity over dense cannot be told: {both}{yours}."


def checks_sentence(own: Sequence[Run], twins: Mapping[str, Run]) -> str:
    """Say whether own readings agree with our longer ones of the same.

    Args:
        own: runs; those that check nothing are left out.
        twins: what `frontier.checks` found of them.
    """
    told = [
        (run, run.ratio, twin, twin.ratio)
        for run in own
        if (twin := twins.get(run.id)) and run.ratio and twin.ratio
    ]
    n_alike = sum(agree(mine, theirs) for _, mine, _, theirs in told)
    if len(told) > 1:
        agreeing = "1 agrees" if n_alike == 1 else f"{n_alike:,} agree"
        return f"Of your {len(told):,} shorter readings {agreeing} with ours."
    verb = "agrees" if n_alike else "**does not agree**"
    return "".join(
        f"Your reading of {name(run)} at "
        f"{share(run.spec.recipe['pruning']['sparsity'])} on {n_tokens(run):,} tokens "
        f"({times_spread(mine)}) {verb} with ours ({times_spread(theirs)}, "
        f"{n_tokens(twin):,})."
        for run, mine, twin, theirs in told
    )


def origins(report: Report) -> list[str]:
    """Say where the numbers come from, one line for each kind measured so far."""
    experiment, comparison = report.experiment, report.comparison
    said = [text_sentence(report)]
    how = report.environment.get("recovery")
    if how is not None:
        said.append(f"Recovery ({label(experiment.method.recovery)}): {how}.")
    control = report.environment.get("control")
    said += [] if control is None else [f"Control: {control}."]
    if comparison.dense.tasks:
        said += [tasks_sentence(experiment), *left_out(comparison.dense.tasks)]
    said.append(sizes_sentence(experiment))
    if comparison.dense.latency is not None:
        said.append(clock_sentence(comparison.dense.latency))
    if comparison.dense.memory is not None:
        said.append(memory_sentence(comparison.dense.memory))
    return said


def text_sentence(report: Report) -> str:
    """Say what the quality was measured on, and how sure it is."""
    e, text = report.experiment, report.comparison.pruned.text
    read = f"{e.evaluation.eval_tokens:,} tokens"
    if text is not None:
        read = f"{text.n_tokens:,} tokens of {text.text_source}, in {windows(text)}"
    return (
        f"Text: {read}; 95 % t-intervals over windows, ratios paired by window. "
        f"Scores from {_calibrated(report)}, seed {e.calibration.seed}."
    )


def speeds_sentence(point: SpeedPoint, removed: float, widths: tuple[int, ...]) -> str:
    """Say how much faster a shape is than dense, and why no more.

    Args:
        point: the point that is shown.
        removed: the share of neurons that the setting in hand removes.
        widths: what that setting leaves; other widths are named as such.
    """
    said = f"With {share(point.removed)} of the neurons removed "
    if point.widths != widths:
        said = f"{share(removed)} with these widths is not timed; with "
        said += f"{share(point.removed)} removed "
    both = " and ".join(
        f"{name} is {as_fast(r)} (its arithmetic allows {times(r.ideal)})"
        for name in shape_timing.PHASES
        for r in [shape_timing.phase(point, name)]
    )
    return f"{said}{both}. {' '.join(point.speedup.reasons)}".strip()


def tasks_sentence(experiment: Experiment) -> str:
    """Say how the tasks were asked."""
    asked = experiment.tasks
    return (
        f"Tasks: up to {asked.items:,} items of each task, drawn with seed "
        f"{asked.items_seed}, no examples given; ± one standard error. Kept: pruned / "
        "dense, and above chance, both less the accuracy of guessing; differences in "
        "points with 95 % intervals, paired by item."
    )


def sizes_sentence(experiment: Experiment) -> str:
    """Say where the sizes come from."""
    return (
        f"Sizes: counted from the weights' shapes, {experiment.model.dtype}; a MAC is "
        "one multiply and add with a weight."
    )


def clock_sentence(timed: Latency) -> str:
    """Say on what and how the times were taken."""
    where = timed.processor or timed.device
    return (
        f"Times: {where} ({timed.device}, {counted(timed.n_threads, 'thread')}, "
        f"{timed.dtype}, torch {timed.torch_version}); batch {timed.batch:,}, "
        f"{counted(timed.prompt_tokens, 'token')} read, {timed.new_tokens:,} written; "
        f"median (p90) of {counted(timed.prefill.n_rounds, 'round')}, dense and pruned "
        f"in turns; {timed.measured_at}. {disturbance_sentence(timed)}"
    )


def memory_sentence(peak: MemoryPeak) -> str:
    """Say how the peak memory was taken."""
    return (
        f"Memory: the peak of one such run, beyond an empty process ({peak.source}): "
        "weights, KV cache and activations."
    )


def latency_sentence(comparison: Comparison, phase: Phase) -> str:
    """Say what a chart of one phase's timings shows."""
    dense, pruned = (timing_of(s, phase) for s in (comparison.dense, comparison.pruned))
    assert dense is not None
    assert pruned is not None
    what = "prompt" if phase == "prefill" else "token"
    verb = "is read" if phase == "prefill" else "is written"
    return (
        f"Half of the time a {what} {verb} within {number(pruned.median)} ms pruned "
        f"and {number(dense.median)} ms dense; nine times in ten within "
        f"{number(pruned.p90)} and {number(dense.p90)} ms."
    )


def retention_sentence(comparison: Comparison) -> str:
    """Say on which task the pruned model keeps the most and the least."""
    kept = {n: r.acc for n, r in comparison.task_retention.items()}
    known = {n: k.ratio or 0.0 for n, k in kept.items() if k.above_chance is not None}
    if not known:
        return (
            "The dense model is not above guessing (the dotted line) here, so there is "
            "nothing to keep; ask more items."
        )
    most, least = max(known, key=known.__getitem__), min(known, key=known.__getitem__)
    said = f"The pruned model keeps {share(known[most])} of dense accuracy on {most}"
    if len(known) > 1:
        said += f", the most, and {share(known[least])} on {least}, the least"
    return f"{said}; the dotted line is guessing."


def _calibrated(report: Report) -> str:
    """Say how much calibration read, where the model takes less than was asked for."""
    asked, took = report.experiment.calibration, report.environment.get("seq_len")
    short = "" if took is None else f" (of {asked.seq_len:,}: all the model takes)"
    each = int(took or asked.seq_len)
    return f"{asked.samples:,} × {each:,} calibration tokens{short}"


def samples_table(comparison: Comparison, phase: Phase) -> pd.DataFrame:
    """List every timing of a phase: side, round, ms."""
    sides = {"dense": comparison.dense, "pruned": comparison.pruned}
    timings = {name: timing_of(side, phase) for name, side in sides.items()}
    rows = [
        (side, place * timing.n_rounds // len(timing.samples_ms), ms)
        for side, timing in timings.items()
        if timing is not None
        for place, ms in enumerate(timing.samples_ms)
    ]
    return pd.DataFrame(rows, columns=["side", "round", "ms"])


def tasks_table(comparison: Comparison) -> pd.DataFrame:
    """List every task and side with both accuracies, as the chart needs it."""
    sides = {"dense": comparison.dense, "pruned": comparison.pruned}
    return pd.DataFrame(
        {
            "task": t.name,
            "side": side,
            "acc": t.acc,
            "stderr": t.stderr,
            "acc_norm": t.acc_norm,
            "stderr_norm": t.stderr_norm,
            "chance": t.chance_level,
            "n_items": t.n_items,
        }
        for side, of in sides.items()
        for t in of.tasks
    )
