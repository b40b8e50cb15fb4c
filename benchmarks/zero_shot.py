"""Zero-shot tasks after pruning: how much of the accuracy above chance is left.

All embedded tasks, the same seeded items for every model. Retention is (mean pruned -
mean chance) / (mean dense - mean chance) over the tasks, with a 95 % interval by
resampling the items of each task, the same ones for both models.
"""

import argparse
import time
from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from llmrank.calibration.activations import CalibrationSpec
from llmrank.cli.terminal import ProgressBar
from llmrank.core.progress import Progress, silent
from llmrank.data.tasks import TASKS
from llmrank.data.texts import EMBEDDED
from llmrank.evaluation.accuracy import TaskResult, evaluate_task
from llmrank.experiments.experiment import Experiment
from llmrank.experiments.pipeline import Pipeline
from llmrank.methods.method import method
from llmrank.models.language_model import LanguageModel, ModelSpec

METHODS = (
    "llm-rank",
    "wanda",
    "flap+standardised+bias",
    "wanda+least-squares",
    "wanda+additive+least-squares-sequential",
)
N_RESAMPLES = 10_000


def main() -> None:
    """Print a line per model as soon as it has answered."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="demo")
    parser.add_argument("--sparsity", type=float, default=0.2)
    parser.add_argument("--calibration-text", default=EMBEDDED)
    parser.add_argument("--samples", type=int, default=64)
    parser.add_argument("--items", type=int, default=500)
    parser.add_argument("--methods", nargs="+", default=METHODS)
    parser.add_argument("--quiet", action="store_true", help="Draw no progress")
    options = parser.parse_args()
    methods = [method(words) for words in options.methods]
    pipeline, bar = Pipeline(), silent if options.quiet else ProgressBar()
    read = CalibrationSpec(
        calibration_text=options.calibration_text, samples=options.samples
    )
    experiment = Experiment(ModelSpec(name=options.model), read).at(options.sparsity)
    print(
        f"{options.model}, {options.sparsity:.0%} of the FFN neurons removed, at most "
        f"{options.items} items per task, calibrated on {read.samples} × {read.seq_len}"
    )
    print(f"{'':<44}{''.join(f'{name:>16}' for name in TASKS)}   retention")
    dense = _line("dense", pipeline.model(experiment, progress=bar), options.items, bar)
    for by in methods:
        pruned = pipeline.pruned(replace(experiment, method=by), progress=bar)
        _line(by.name, pruned, options.items, bar, dense)


def _line(
    name: str,
    lm: LanguageModel,
    n_items: int,
    bar: Progress,
    dense: Sequence[TaskResult] = (),
) -> list[TaskResult]:
    start = time.perf_counter()
    found = [evaluate_task(lm, task, n_items=n_items, progress=bar) for task in TASKS]
    seconds = time.perf_counter() - start
    for what in ("correct", "correct_norm"):
        shown = [(float(getattr(r, what).mean()), r.chance_level) for r in found]
        cells = "".join(f"{acc:>9.3f} ({chance:.2f})" for acc, chance in shown)
        print(f"{name:<33}{what.replace('correct', 'acc'):<11}{cells}", end="   ")
        print(_retention(dense, found, what) if dense else f"{seconds:.0f} s", end="")
        print(flush=True)
    return found


def _retention(
    dense: Sequence[TaskResult], pruned: Sequence[TaskResult], what: str
) -> str:
    generator = torch.Generator().manual_seed(0)
    before, after = torch.zeros(N_RESAMPLES + 1), torch.zeros(N_RESAMPLES + 1)
    for d, p in zip(dense, pruned, strict=True):
        drawn = torch.randint(d.n_items, (N_RESAMPLES, d.n_items), generator=generator)
        before += _above_chance(getattr(d, what) - d.chance, drawn)
        after += _above_chance(getattr(p, what) - p.chance, drawn)
    ratios = after / before
    low, high = ratios[1:].quantile(torch.tensor([0.025, 0.975])).tolist()
    return f"{float(ratios[0]):.3f} [{low:.3f}, {high:.3f}]"


def _above_chance(above: Float[Tensor, " n"], drawn: Tensor) -> Float[Tensor, " m"]:
    """Return the mean of the items themselves, then of each draw."""
    return torch.cat([above.mean()[None], above[drawn].mean(1)])


if __name__ == "__main__":
    main()
