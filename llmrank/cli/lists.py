"""Commands without an experiment: what methods there are, and setting up."""

import argparse

from llmrank.cli.terminal import ProgressBar


def methods_command(options: argparse.Namespace) -> None:  # noqa: ARG001
    """List the criteria, allocations, repairs and recoveries with their parameters."""
    from llmrank.core.specs import options as declared
    from llmrank.methods.method import PARTS

    for part, registry in PARTS.items():
        print(f"{part}, one of:")
        for name in registry:
            cls = registry[name]
            doc = (cls.__doc__ or "").strip()
            print(f"  {name}: {doc.splitlines()[0]}")
            for o in declared(cls):
                flag = o.name.replace("_", "-")
                print(f"      --{flag} (default {o.default!r}) {o.help}")


def prepare_command(options: argparse.Namespace) -> None:  # noqa: ARG001
    """Convert the embedded model and read what the default method needs, once.

    Again where the copy is damaged or something that is read has changed.
    """
    from llmrank.experiments.pipeline import Pipeline
    from llmrank.experiments.settings import experiment
    from llmrank.models.checkpoints import demo_folder
    from llmrank.models.embedded import is_whole
    from llmrank.models.language_model import shape

    bar = ProgressBar()
    folder = demo_folder(check=is_whole, progress=bar)
    pipeline, usual = Pipeline(), experiment({})
    shape(usual.model)
    pipeline.pruned(usual, progress=bar)
    pipeline.dense_text(usual, progress=bar)
    bar.clear()
    print(f"the embedded model is ready in {folder}")
