"""The command of the paper's experiment on MLPs: retention over sparsity, the claim."""

import argparse
import sys
import time
from typing import Any

from llmrank.cli.terminal import ProgressBar, check_new_file, each_of, give, write


def add_mlp_options(command: argparse.ArgumentParser) -> None:
    """Declare the files; the specs' options are declared when the command is chosen."""
    for name, metavar, help in (
        ("json", "FILE|-", "Write points, summary and recipe as JSON there"),
        ("csv", "FILE|-", "Write every measured point as a row there"),
        ("figure", "FILE|-", "Draw what is kept over sparsity there, as a page (HTML)"),
    ):
        command.add_argument(f"--{name}", metavar=metavar, help=help)


def mlp_settings() -> dict[str, Any]:
    """Return the options of the three specs behind the experiment, by name."""
    from llmrank.core.specs import options
    from llmrank.mlp import DataSpec, MLPRank, MLPSpec, RetentionSpec

    kinds = (RetentionSpec, MLPSpec, MLPRank, DataSpec)
    settings = {o.name: o for kind in kinds for o in options(kind)}
    # The experiment has several of these, or makes them itself.
    return {n: o for n, o in settings.items() if n not in ("widths", "variant", "data")}


def mlp_command(options: argparse.Namespace) -> None:
    """Train MLPs, prune them by MLP-Rank and its rivals, and test the paper's claim."""
    from llmrank import mlp
    from llmrank.mlp.experiment import record, retention_table
    from llmrank.report.sentences.mlp import gains_sentence, summary_sentence

    for target in (options.json, options.csv, options.figure):
        check_new_file(target)
    spec, training, ranked, data_seed = _specs(options)
    _announce_files(spec.sets, data_seed)
    bar, start = ProgressBar(), time.monotonic()
    try:
        points = mlp.retention(
            spec, training, ranked, data_seed=data_seed, progress=bar
        )
    finally:
        bar.clear()
    seconds = time.monotonic() - start
    print(f"{len(points):,} points in {seconds:.0f} s", file=sys.stderr)
    text = f"{summary_sentence(points)}\n\n{gains_sentence(points, spec)}"
    plain = record(points, spec, training, ranked, data_seed)
    each_of(
        lambda: write(options.csv, lambda: retention_table(points).to_csv(index=False)),
        lambda: write(options.figure, lambda: _page(points, spec)),
        lambda: give(plain, options.json, text),
    )


def _announce_files(sets: str, data_seed: int) -> None:
    """Say what is read of each own file, and what is left out, before any training."""
    from llmrank import mlp

    for name in filter(None, map(str.strip, sets.split(","))):
        if name not in mlp.TITLES:
            about = mlp.examples(mlp.DataSpec(name, data_seed)).about
            print(f"{name}: {about}", file=sys.stderr)


def _page(points: Any, spec: Any) -> str:
    from llmrank import mlp
    from llmrank.report.charts import CONFIG, retention_chart

    fig = retention_chart(mlp.summary(points), mlp.leads(points, tuple(spec.names())))
    return fig.to_html(config=dict(CONFIG))  # Plotly changes it


def _specs(options: argparse.Namespace) -> tuple[Any, Any, Any, int]:
    """Build the specs of the options that were given; they check themselves."""
    from llmrank.core.specs import options as declared
    from llmrank.mlp import DataSpec, MLPRank, MLPSpec, RetentionSpec

    given = {
        name: o.parse(getattr(options, name))
        for name, o in mlp_settings().items()
        if getattr(options, name, None) is not None
    }
    given.setdefault("epochs", 15)  # enough for digits, and three minutes for all

    def built(cls: Any) -> Any:
        own = {o.name for o in declared(cls)}
        return cls(**{n: v for n, v in given.items() if n in own})

    return (
        built(RetentionSpec), built(MLPSpec), built(MLPRank), built(DataSpec).data_seed,
    )  # fmt: skip
