"""Calibration against the bare forward pass on the same tokens, interleaved."""

import argparse
import statistics
import time
from collections.abc import Callable

import torch

from llmrank.calibration.activations import BATCH_TOKENS, measure
from llmrank.data import texts
from llmrank.models import ffn
from llmrank.models.language_model import LanguageModel, load


def main() -> None:
    """Print the median times and the ratio round by round."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="demo")
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--seq-len", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    lm = load(options.model)
    source = texts.text(texts.EMBEDDED, "calibration")
    windows = texts.sampled_windows(
        lm, source, n_samples=options.samples, seq_len=options.seq_len, seed=0
    )
    runs: dict[str, Callable[[], object]] = {
        "bare": lambda: bare_pass(lm, windows),
        "hooked": lambda: measure(lm, windows),
    }
    bare_pass(lm, windows)
    ratios, bare, hooked = [], [], []
    for number in range(options.rounds):
        runs = {
            "bare": lambda: bare_pass(lm, windows),
            "hooked": lambda: measure(lm, windows),
        }
        order = list(runs) if number % 2 == 0 else list(reversed(runs))
        times = {name: seconds(runs[name]) for name in order}
        bare.append(times["bare"])
        hooked.append(times["hooked"])
        ratios.append(times["hooked"] / times["bare"])
    print(f"{windows.numel():,} tokens, {options.rounds} rounds, interleaved")
    print(f"bare forward pass (no output head)  {statistics.median(bare):8.2f} s")
    print(f"calibration                         {statistics.median(hooked):8.2f} s")
    low, middle, high = min(ratios), statistics.median(ratios), max(ratios)
    print(f"ratio, median [min, max]            {middle:8.3f} [{low:.3f}, {high:.3f}]")


@torch.inference_mode()
def bare_pass(lm: LanguageModel, windows: torch.Tensor) -> None:
    """Run the same batches through the same modules without any hook."""
    model = ffn.shared_copy(lm.model).base_model
    for chunk in windows.split(max(1, BATCH_TOKENS // windows.shape[1])):
        model(chunk.to(lm.device), use_cache=False)


def seconds(run: Callable[[], object]) -> float:
    """Time one call."""
    start = time.perf_counter()
    run()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
