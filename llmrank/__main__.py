"""The command line: `python -m llmrank run|arena|mlp|score|evaluate|methods|...`."""

import argparse
import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from llmrank import cli
from llmrank.cli.output import OutputLostError, guarded
from llmrank.core import threads
from llmrank.core.errors import LLMRankError

AS_IS = ("model", "evaluation", "tasks")
OF_GRID = ("model", "calibration", "pruning", *AS_IS[1:], "benchmark")
EVERY = ("method", *OF_GRID)
SETTINGS = {"run": EVERY, "arena": OF_GRID, "score": EVERY, "evaluate": AS_IS}
"""Which sections of an experiment a command takes its settings from."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; a visitor's mistake is one sentence and exit status 2.

    Where the reader of its output has left the status is 141, as of any program.
    """
    threads.settle()
    try:
        with guarded():
            return _status(arguments)
    except OutputLostError as error:
        return int(error.code or 0)


def _status(arguments: Sequence[str] | None) -> int:
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


class CommandParser(argparse.ArgumentParser):
    """The parser of one command; the settings are declared once it is chosen.

    Declaring them imports torch, which takes seconds that other help need not wait.
    """

    settings: Callable[[], dict[str, Any]] | None = None

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Declare the settings, then parse."""
        settings, self.settings = self.settings, None
        if settings is not None:
            _add_options(self, settings())
        return super().parse_known_args(args, namespace)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m llmrank",
        allow_abbrev=False,
        description="Rank, prune and measure the FFN neurons of a language model.",
    )
    parsers = parser.add_subparsers(
        required=True, metavar="COMMAND", parser_class=CommandParser
    )
    for name, function in {
        "run": cli.run_command,
        "arena": cli.arena_command,
        "mlp": cli.mlp_command,
        "score": cli.score_command,
        "evaluate": cli.evaluate_command,
        "methods": cli.methods_command,
        "prepare": cli.prepare_command,
    }.items():
        summary = (function.__doc__ or "").strip()
        command = parsers.add_parser(
            name, help=summary, description=summary, allow_abbrev=False
        )
        command.set_defaults(command=function)
        if name in SETTINGS:
            command.settings = partial(_settings, name)
        if name in ("run", "evaluate"):
            command.add_argument("--json", metavar="FILE|-", help="Write JSON there")
        if name == "run":
            command.add_argument(
                "--export", metavar="DIR", help="Write the pruned model to a new folder"
            )
            command.add_argument(
                "--export-dtype",
                metavar="PRECISION",
                default="checkpoint",
                help="Precision of the exported weights: checkpoint (the dense "
                "model's own, the default), float32, bfloat16 or float16",
            )
            command.add_argument(
                "--target",
                metavar="KIND=VALUE",
                help="Instead of a sparsity: size=MEGABYTES of weights at most, "
                "speed=TIMES as fast at least (decoding), or perplexity=TIMES dense at "
                "most; solved for, then measured",
            )
        if name == "arena":
            cli.add_arena_options(command)
        if name == "mlp":
            command.settings = cli.mlp_settings
            cli.add_mlp_options(command)
        if name == "score":
            command.add_argument("--out", metavar="FILE.safetensors", required=True)
    return parser


def _settings(command: str) -> dict[str, Any]:
    """One option per setting; the specs themselves check the values."""
    from llmrank.experiments.settings import declared

    without = cli.GRID if command == "arena" else ()
    known = declared(SETTINGS[command])
    return {name: o for name, o in known.items() if name not in without}


def _add_options(command: argparse.ArgumentParser, known: dict[str, Any]) -> None:
    group = command.add_argument_group("experiment")
    for name, o in known.items():
        limits = f"one of {', '.join(o.choices)}; " if o.choices else ""
        text = f"{o.help} ({limits}default {o.default!r})".replace("%", "%%")
        metavar = o.kind.__name__.upper()
        group.add_argument(f"--{name.replace('_', '-')}", metavar=metavar, help=text)


if __name__ == "__main__":
    sys.exit(main())
