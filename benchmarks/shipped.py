"""What comes along: every method of the table measured on the demo model, anew.

    python -m benchmarks.shipped [--db FILE] [--table]

Reads 16,384 held-out tokens for each of the methods at 10 to 50 %, calibrated on
64 × 256; two or three hours on two cores, of which the trainings take one. Stopped, it
goes on where it was when it is given the same file. Only what does not depend on a
clock is kept. `--table` measures nothing and prints what has come along, as in the
README.
"""

import argparse
import sqlite3
from contextlib import closing
from pathlib import Path

from llmrank.calibration.activations import CalibrationSpec
from llmrank.cli.terminal import ProgressBar
from llmrank.core.formatting import share
from llmrank.core.statistics import times_spread
from llmrank.evaluation.perplexity import EvaluationSpec
from llmrank.experiments import arena
from llmrank.experiments.experiment import Experiment
from llmrank.experiments.frontier import SHIPPED, frontier, shipped
from llmrank.experiments.store import Store
from llmrank.methods.method import method

METHODS = (
    "llm-rank+block-influence+least-squares",
    "llm-rank",
    "llm-rank:site=up",
    "llm-rank:site=up:gamma=0",
    "llm-rank:graph=chained",
    "llm-rank+least-squares",
    "wanda",
    "wanda+least-squares",
    "wanda+block-influence+least-squares",
    "cfsp+block-influence",
    "cfsp+block-influence+least-squares",
    "wanda+additive+least-squares",
    "flap+standardised+bias",
    "activation",
    "taylor",
    "l1",
    "random",
    "wanda+additive+least-squares-sequential",
    "wanda+additive+least-squares-sequential+distil:train_tokens=102400",
)
SPARSITIES = (0.1, 0.2, 0.3, 0.4, 0.5)
BASE = Experiment(
    calibration=CalibrationSpec(samples=64),
    evaluation=EvaluationSpec(eval_tokens=16_384),
)


def main() -> None:
    """Measure what is missing, then write the file that comes along."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--db", type=Path, default=Path("shipped.sqlite3"))
    parser.add_argument("--table", action="store_true")
    options = parser.parse_args()
    if options.table:
        print(table())
        return
    spec = arena.ArenaSpec(
        methods=tuple(map(method, METHODS)),
        sparsities=SPARSITIES,
        measures=("text",),
        base=BASE,
    )
    store = Store(options.db)
    entries = arena.run(spec, store, progress=ProgressBar())
    write(store.path, [e.run.id for e in entries if e.run.state == "done"])


def table() -> str:
    """Return the methods' perplexity ratios as Markdown, the best at 30 % first."""
    store = shipped()
    assert store is not None
    curves = frontier(BASE, [store]).curves
    told = {m: {c.sparsity: times_spread(c.ratio) for c in curves[m]} for m in curves}
    at_30 = {m: c.ratio.value for m in curves for c in curves[m] if c.sparsity == 0.3}
    heads = (f"{share(s)} removed" for s in SPARSITIES)
    lines = ["| method | " + " | ".join(heads) + " |"]
    lines.append("|---" * (1 + len(SPARSITIES)) + "|")
    for m in sorted(at_30, key=lambda m: at_30[m]):
        cells = (told[m].get(s, "–") for s in SPARSITIES)
        lines.append(f"| {m.name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def write(source: Path, run_ids: list[str]) -> None:
    """Copy finished runs, and nothing else, to the file that comes along."""
    fresh = SHIPPED.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    with (
        closing(sqlite3.connect(source)) as old,
        closing(sqlite3.connect(fresh)) as new,
    ):
        old.backup(new)
        new.execute("DELETE FROM cells")
        new.execute("DELETE FROM arenas")
        marks = ", ".join("?" * len(run_ids))
        new.execute(f"DELETE FROM runs WHERE id NOT IN ({marks})", run_ids)
        new.execute("UPDATE runs SET owner_host = NULL, owner_pid = NULL")
        new.commit()
        new.execute("PRAGMA journal_mode = DELETE")  # no log beside a sealed file
        new.execute("VACUUM")
    fresh.replace(SHIPPED)
    print(f"{len(run_ids)} runs, {SHIPPED.stat().st_size / 1e3:,.0f} kB: {SHIPPED}")


if __name__ == "__main__":
    main()
