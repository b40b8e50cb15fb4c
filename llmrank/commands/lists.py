"""Commands without an experiment: what criteria there are, and setting up."""

import argparse

from llmrank.commands.screen import ProgressBar


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
