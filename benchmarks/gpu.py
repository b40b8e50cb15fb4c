"""Is all of it right on a GPU, and how fast? Random models; nothing is downloaded.

Exit status: 0 where every check holds or there is no such device, 1 where one fails.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, astuple, fields
from pathlib import Path

import torch

from benchmarks.gpu_checks import check_all
from benchmarks.gpu_models import (
    DTYPES,
    SHAPES,
    Check,
    Run,
    Speed,
    Work,
    forget,
    weight_bytes,
)
from benchmarks.gpu_times import card_limits, time_all
from llmrank.core.devices import free_bytes, pick_device
from llmrank.core.errors import LLMRankError
from llmrank.evaluation.latency import processor
from llmrank.models.hf import transformers

ROOM = 1.7
"""A model is timed beside a pruned one: so many times its weights must be free."""


def main() -> int:
    """Check the first shape, time all, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--device", default="auto", choices=("auto", "cuda", "mps", "cpu")
    )
    parser.add_argument("--shapes", nargs="+", choices=tuple(SHAPES),
                        default=("135M", "1B", "7B"))  # fmt: skip
    parser.add_argument(
        "--seconds", type=float, default=270, help="begin nothing after"
    )
    parser.add_argument("--out", type=Path, help="a .md file; .json goes beside it")
    options = parser.parse_args()
    try:
        device = pick_device(options.device)
    except LLMRankError as error:
        print(f"{error}.")
        return 0
    if device.type == "cpu" and options.device == "auto":
        print(
            f"There is no CUDA or MPS device here (torch {torch.__version__}), so "
            "nothing was measured; --device cpu --shapes tiny tries the script itself."
        )
        return 0
    run = Run(device, options.seconds)
    check_all(run, options.shapes[0])
    for dtype in DTYPES:
        card_limits(run, dtype)
    forget(device)
    for shape in options.shapes:
        for dtype in DTYPES:
            timed_if_it_fits(run, shape, dtype)
    written(run, options.out)
    return int(bool(run.faults) or not all(c.holds for c in run.checks))


def timed_if_it_fits(run: Run, shape: str, dtype: str) -> None:
    """Time a model, or say that the card or the time is too small for it."""
    need, free = ROOM * weight_bytes(shape, dtype), free_bytes(run.device)
    remark = f"left out: {run.left_s:.0f} s are left" if run.left_s < 10 else ""
    if free is not None and free < need:
        remark = f"left out: {need / 1e9:.0f} GB needed, {free / 1e9:.0f} GB free"
    if remark:
        run.works.append(Work(shape, dtype, "everything", None, 0, None, remark))
        return
    try:
        time_all(run, shape, dtype)
    except Exception as error:
        sentence = run.fails(f"{shape} in {dtype}", error)
        run.works.append(Work(shape, dtype, "everything", None, 0, None, sentence))
    forget(run.device)


def written(run: Run, out: Path | None) -> None:
    """Print the tables; write them, and the same as JSON."""
    held = sum(c.holds for c in run.checks)
    where = {
        "device": processor(run.device), "torch": torch.__version__,
        "transformers": transformers().__version__, "seconds": round(run.taken_s),
        **{name: round(value, 2) for name, value in run.limits.items()},
    }  # fmt: skip
    lines = [
        "# On this device", "", ", ".join(f"{k}: {v}" for k, v in where.items()), "",
        f"## Right: {held} of {len(run.checks)} checks hold", "",
        *table(Check, run.checks), "", "## Prefill and decode", "",
        *table(Speed, run.speeds), "", "## Work", "", *table(Work, run.works),
        *(f"\nFailed: {fault}" for fault in run.faults),
    ]  # fmt: skip
    text = "\n".join(lines)
    print(text)
    if out is None:
        return
    out.write_text(text + "\n", "utf-8")
    rows = {"checks": run.checks, "speeds": run.speeds, "works": run.works}
    plain = {name: [asdict(row) for row in found] for name, found in rows.items()}
    plain = {"where": where, "faults": run.faults, **plain}
    out.with_suffix(".json").write_text(json.dumps(plain, indent=1), "utf-8")


def table(kind: type, rows: Sequence[Check | Work | Speed]) -> list[str]:
    """Write results as markdown, a column for each field."""
    names = [f.name.replace("_", " ") for f in fields(kind)]
    head = [f"| {' | '.join(names)} |", "|---" * len(names) + "|"]
    return head + [f"| {' | '.join(map(cell, astuple(row)))} |" for row in rows]


def cell(value: object) -> str:
    """Write one value; nothing where there is none."""
    if isinstance(value, bool):
        return "yes" if value else "NO"
    if isinstance(value, float):
        return f"{value:.3g}"
    return "" if value is None else str(value).replace("|", "/")


if __name__ == "__main__":
    sys.exit(main())
