"""The command line: `python -m llmrank run|score|evaluate|criteria|prepare`."""

import argparse
import json
import math
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from llmrank.errors import LLMRankError
from llmrank.folders import (
    check_export_target,
    check_file_target,
    named_path,
    written_file,
)

AS_IS = ("model", "evaluation", "tasks")
METHOD = ("criterion", "allocation", "repair")
EVERY = (*METHOD, "model", "calibration", "pruning", *AS_IS[1:], "benchmark")
SETTINGS = {"run": EVERY, "score": EVERY, "evaluate": AS_IS}
"""Which sections of an experiment a command takes its settings from."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; a visitor's mistake is one sentence and exit status 2."""
    try:
        options = _parser().parse_args(arguments)
        options.command(options)
    except LLMRankError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped; nothing half-written was left", file=sys.stderr)
        return 130
    return 0


def run_command(options: argparse.Namespace) -> None:
    """Do the whole job and print what it measured."""
    from llmrank import experiment, export
    from llmrank.stages import Stages
    from llmrank.summary import table

    wanted = _experiment(options)
    if options.export:
        check_export_target(named_path(options.export))
    _check_json_target(options.json)
    _announce(experiment.estimate(wanted))
    stages, bar = Stages(), ProgressBar()
    report = experiment.run(wanted, stages=stages, progress=bar)
    bar.clear()
    _give(report.to_json(), options.json, table(report.comparison))
    if options.export:
        saved = export.save(
            stages.pruned(wanted.stage_specs),
            options.export,
            recipe=wanted.to_json(),
            progress=bar,
        )
        bar.clear()
        print(saved.summary, file=sys.stderr)


def score_command(options: argparse.Namespace) -> None:
    """Score every neuron and write scores and statistics as safetensors."""
    from llmrank.experiment import estimate
    from llmrank.export import write_scores
    from llmrank.stages import Stages

    wanted = _experiment(options)
    out = named_path(options.out)
    check_file_target(out)
    if out.exists():
        raise LLMRankError(f"{out} exists already and is not overwritten")
    _announce(replace(estimate(wanted), pruned_bytes=0))
    stages, bar = Stages(), ProgressBar()
    specs = wanted.stage_specs[:3]
    scores = stages.scores(*specs, progress=bar)
    bar.clear()
    stats = stages.stats(*specs[:2])
    write_scores(out, scores, stats, wanted.to_json())
    n_neurons = sum(len(s) for s in scores.layers)
    print(f"{n_neurons:,} neurons in {len(scores.layers)} layers: {out}")


def evaluate_command(options: argparse.Namespace) -> None:
    """Measure one model as it is: perplexity, top-1, tasks."""
    from llmrank.comparison import Side
    from llmrank.evaluation import evaluate
    from llmrank.experiment import estimate
    from llmrank.footprint import footprint
    from llmrank.models import load
    from llmrank.summary import side_lines
    from llmrank.tasks import evaluate_task

    wanted = _experiment(options)
    _check_json_target(options.json)
    names, bar = wanted.tasks.names, ProgressBar()
    _announce(replace(estimate(wanted), pruned_bytes=0))
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
    _give({**kept, **side.to_json()}, options.json, "\n".join(side_lines(side)))


def criteria_command(options: argparse.Namespace) -> None:  # noqa: ARG001
    """List the criteria with their parameters."""
    from llmrank.criteria import CRITERIA
    from llmrank.options import options as declared

    for name in CRITERIA:
        cls = CRITERIA[name]
        print(f"{name}: {(cls.__doc__ or '').strip().splitlines()[0]}")
        for o in declared(cls):
            print(f"    --{o.name} (default {o.default}) {o.help}")


def prepare_command(options: argparse.Namespace) -> None:  # noqa: ARG001
    """Convert the embedded model once, so that the app starts with it at once."""
    from llmrank.sources import demo_folder

    bar = ProgressBar()
    folder = demo_folder(progress=bar)
    bar.clear()
    print(f"the embedded model is ready in {folder}")


class ProgressBar:
    """One line on stderr that is rewritten; plain lines where stderr is no screen."""

    def __init__(self) -> None:
        self._live = sys.stderr.isatty()
        self._last = ""

    def __call__(self, what: str, done: int, total: int) -> None:
        """Draw the bar."""
        if self._live:
            filled = 24 * done // max(total, 1)
            bar = "█" * filled + "·" * (24 - filled)
            sys.stderr.write(f"\r\x1b[2K{bar} {done}/{total} {what}")
            sys.stderr.flush()
        elif what != self._last:
            print(f"{what} ...", file=sys.stderr)
        self._last = what

    def clear(self) -> None:
        """Take the bar off the screen."""
        if self._live:
            sys.stderr.write("\r\x1b[2K")
        self._last = ""


class CommandParser(argparse.ArgumentParser):
    """The parser of one command; the settings are declared once it is chosen.

    Declaring them imports torch, which takes seconds that other help need not wait.
    """

    takes_settings: Sequence[str] = ()

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Declare the settings, then parse."""
        sections, self.takes_settings = self.takes_settings, ()
        if sections:
            _add_experiment_options(self, sections)
        return super().parse_known_args(args, namespace)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m llmrank",
        allow_abbrev=False,
        description="Rank, prune and measure the FFN neurons of a language model.",
    )
    commands = parser.add_subparsers(
        required=True, metavar="COMMAND", parser_class=CommandParser
    )
    for name, function in {
        "run": run_command,
        "score": score_command,
        "evaluate": evaluate_command,
        "criteria": criteria_command,
        "prepare": prepare_command,
    }.items():
        summary = (function.__doc__ or "").strip()
        command = commands.add_parser(
            name, help=summary, description=summary, allow_abbrev=False
        )
        command.set_defaults(command=function)
        command.takes_settings = SETTINGS.get(name, ())
        if name in ("run", "evaluate"):
            command.add_argument("--json", metavar="FILE|-", help="Write JSON there")
        if name == "run":
            command.add_argument(
                "--export", metavar="DIR", help="Write the pruned model to a new folder"
            )
        if name == "score":
            command.add_argument("--out", metavar="FILE.safetensors", required=True)
    return parser


def _add_experiment_options(
    command: argparse.ArgumentParser, sections: Sequence[str]
) -> None:
    """One option per setting; the specs themselves check the values."""
    from llmrank.settings import declared

    group = command.add_argument_group("experiment")
    for name, o in declared(sections).items():
        limits = f"one of {', '.join(o.choices)}; " if o.choices else ""
        text = f"{o.help} ({limits}default {o.default!r})".replace("%", "%%")
        metavar = o.kind.__name__.upper()
        group.add_argument(f"--{name.replace('_', '-')}", metavar=metavar, help=text)


def _experiment(options: argparse.Namespace) -> Any:
    from llmrank.experiment import check_names

    wanted = _described(options)
    check_names(wanted)
    return wanted


def _described(options: argparse.Namespace) -> Any:
    from llmrank.settings import declared, experiment

    given = vars(options)
    return experiment({n: given[n] for n in declared() if given.get(n) is not None})


def _announce(needed: Any) -> None:
    """Say what memory is needed before it is taken, and refuse what cannot fit."""
    print(needed.sentence, file=sys.stderr)
    needed.check()


def _check_json_target(target: str | None) -> None:
    if target is not None and target != "-":
        check_file_target(named_path(target))
        if named_path(target).exists():
            raise LLMRankError(f"{target} exists already and is not overwritten")


def _give(plain: dict[str, Any], target: str | None, text: str) -> None:
    """Print the text, or the JSON; a file takes its name only when it is whole."""
    if target is None:
        print(text)
        return
    content = json.dumps(_finite(plain), indent=1, ensure_ascii=False)
    if target == "-":
        print(content)
        return
    with written_file(named_path(target)) as beside:
        beside.write_text(content, "utf-8")
    print(text)


def _finite(value: Any) -> Any:
    """JSON knows neither infinity nor NaN: they become null."""
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


if __name__ == "__main__":
    sys.exit(main())
