"""Commands on one experiment: run it, score its neurons, measure its model."""

import argparse
import sys
from dataclasses import replace
from typing import Any

from llmrank.cli.terminal import ProgressBar, announce, check_new_file, each_of, give
from llmrank.core.errors import LLMRankError
from llmrank.core.paths import check_export_target, check_file_target, named_path


def wanted_experiment(options: argparse.Namespace) -> Any:
    """Return the experiment that a command's options describe, its names checked.

    Raises:
        LLMRankError: a value outside its limits, a setting that does not apply, an
            unknown task, or a text that cannot be read.
    """
    from llmrank.experiments.run import check_names

    wanted = described(options)
    check_names(wanted)
    return wanted


def described(options: argparse.Namespace) -> Any:
    """Return the experiment of the settings that were given, its texts unread."""
    from llmrank.experiments.settings import declared, experiment, spelled_out

    given = vars(options)
    own = {n: given[n] for n in declared() if given.get(n) is not None}
    return experiment(spelled_out(own))


def run_command(options: argparse.Namespace) -> None:
    """Do the whole job and print what it measured."""
    from llmrank.experiments import targets
    from llmrank.experiments.memory_estimate import estimate
    from llmrank.experiments.pipeline import Pipeline
    from llmrank.experiments.run import run
    from llmrank.models import precision
    from llmrank.report.sentences.summary import table

    wanted = wanted_experiment(options)
    if options.export:
        check_export_target(named_path(options.export))
    precision.check(options.export_dtype)
    check_new_file(options.json)
    target = None if options.target is None else targets.parsed(options.target)
    announce(estimate(wanted))
    pipeline, bar = Pipeline(), ProgressBar()
    if target is not None:
        wanted = _solved(wanted, target, pipeline, bar)
    report = run(wanted, pipeline=pipeline, progress=bar)
    bar.clear()
    text, seq_len = table(report.comparison), report.environment.get("seq_len")
    if seq_len is not None:
        text += f"\nCalibration: windows of {seq_len} tokens, all that the model takes."
    how = report.environment.get("recovery")
    text += "" if how is None else f"\nRecovery: {how}."
    control = report.environment.get("control")
    text += "" if control is None else f"\nControl: {control}."
    each_of(
        lambda: give(report.to_json(), options.json, text),
        lambda: _export(wanted, pipeline, options, bar),
    )


def _export(
    wanted: Any, pipeline: Any, options: argparse.Namespace, bar: ProgressBar
) -> None:
    from llmrank.models import export

    if options.export:
        saved = export.save(
            pipeline.pruned(wanted),
            options.export,
            dtype=options.export_dtype,
            recipe=wanted.to_json(),
            progress=bar,
        )
        bar.clear()
        print(saved.summary, file=sys.stderr)


def _solved(wanted: Any, target: Any, pipeline: Any, bar: ProgressBar) -> Any:
    """Return the experiment at the sparsity that meets a target, and say how well."""
    from llmrank.experiments.targets import meet

    answer = meet(wanted, target, pipeline=pipeline, progress=bar)
    bar.clear()
    if answer.best is None:
        raise LLMRankError(answer.sentence)
    print(answer.sentence, file=sys.stderr)
    return wanted.at(answer.best.sparsity)


def score_command(options: argparse.Namespace) -> None:
    """Score every neuron and write scores and statistics as safetensors."""
    from llmrank.experiments.memory_estimate import estimate
    from llmrank.experiments.pipeline import Pipeline
    from llmrank.methods.scores_file import write_scores

    wanted = wanted_experiment(options)
    out = named_path(options.out)
    check_file_target(out)
    if out.exists():
        raise LLMRankError(f"{out} exists already and is not overwritten")
    announce(replace(estimate(wanted), pruned_bytes=0))
    pipeline, bar = Pipeline(), ProgressBar()
    scores = pipeline.scores(wanted, progress=bar)
    bar.clear()
    stats = pipeline.stats(wanted)
    write_scores(out, scores, stats, wanted.to_json())
    n_neurons = sum(len(s) for s in scores.layers)
    print(
        f"{n_neurons:,} neurons in {len(scores.layers)} layers, statistics of "
        f"{stats.n_tokens:,} tokens: {out}"
    )


def evaluate_command(options: argparse.Namespace) -> None:
    """Measure one model as it is: perplexity, top-1, tasks."""
    from llmrank.evaluation.accuracy import evaluate_task
    from llmrank.evaluation.comparison import Side
    from llmrank.evaluation.footprint import footprint
    from llmrank.evaluation.perplexity import evaluate
    from llmrank.experiments.memory_estimate import estimate
    from llmrank.models.language_model import load
    from llmrank.report.sentences.summary import side_lines

    wanted = wanted_experiment(options)
    check_new_file(options.json)
    names, bar = wanted.tasks.names, ProgressBar()
    announce(replace(estimate(wanted), pruned_bytes=0))
    lm = load(wanted.model, progress=bar)
    text = evaluate(lm, wanted.evaluation, progress=bar)
    spec = wanted.tasks
    results = tuple(
        evaluate_task(lm, n, n_items=spec.items, seed=spec.items_seed, progress=bar)
        for n in names
    )
    bar.clear()
    side = Side(footprint(lm), text, results)
    plain = wanted.to_json()
    kept = {name: plain[name] for name in ("model", "evaluation", "tasks")}
    give({**kept, **side.to_json()}, options.json, "\n".join(side_lines(side)))
