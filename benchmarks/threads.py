"""How threads wait: spinning (the default), passively, or spinning briefly.

    python -m benchmarks.threads [--rounds 2]

Each way is tried in processes of its own, in turns, at rest and beside a load made on
purpose (one thread that multiplies matrices): calibration, evaluation, one decoded
token and one step of a recovery. Seconds and CPU-seconds are medians; ratios are to
the default beside it.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

WAYS: dict[str, dict[str, str]] = {
    "default": {},
    "passive": {"OMP_WAIT_POLICY": "PASSIVE"},
    "brief": {"GOMP_SPINCOUNT": "10000"},
}
LOAD = """
import torch
torch.set_num_threads(1)
a = torch.randn(512, 512)
while True:
    a @ a
"""


def main() -> None:
    """Print seconds and CPU-seconds of each way, at rest and beside a load."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--work", action="store_true", help="what a child does")
    options = parser.parse_args()
    if options.work:
        print(json.dumps(work()))
        return
    print("| work | machine | default | passive | brief |\n|---|---|---|---|---|")
    for machine in ("at rest", "beside a load"):
        told = tried(options.rounds, loaded=machine != "at rest")
        for name in told["default"]:
            cells = [cell(told[way][name], told["default"][name]) for way in WAYS]
            print(f"| {name} | {machine} | {' | '.join(cells)} |", flush=True)


def tried(n_rounds: int, *, loaded: bool) -> dict[str, dict[str, tuple[float, float]]]:
    """Return wall and CPU seconds by way and work, medians over the rounds."""
    found: dict[str, list[dict[str, list[float]]]] = {way: [] for way in WAYS}
    for _ in range(n_rounds):
        for way, environment in WAYS.items():
            load = subprocess.Popen([sys.executable, "-c", LOAD]) if loaded else None
            try:
                child = subprocess.run(
                    [sys.executable, "-m", "benchmarks.threads", "--work"],
                    env=os.environ | environment,
                    capture_output=True,
                    text=True,
                    check=True,
                )
            finally:
                if load is not None:
                    load.kill()
            found[way].append(json.loads(child.stdout.splitlines()[-1]))
    return {
        way: {
            name: (
                statistics.median(r[name][0] for r in rounds),
                statistics.median(r[name][1] for r in rounds),
            )
            for name in rounds[0]
        }
        for way, rounds in found.items()
    }


def cell(own: tuple[float, float], usual: tuple[float, float]) -> str:
    """Write wall and CPU seconds; the ratio of the wall to the default's."""
    return f"{own[0]:.2f} s ({own[1]:.2f} CPU-s), ×{own[0] / usual[0]:.2f}"


def work() -> dict[str, tuple[float, float]]:
    """Do each piece of work once to warm up, then three times."""
    import torch

    from llmrank.calibration.activations import CalibrationSpec, calibrate
    from llmrank.evaluation.perplexity import EvaluationSpec, evaluate
    from llmrank.methods.recovery import Distillation, RecoveryInputs
    from llmrank.methods.recovery.distil import copied, trainable
    from llmrank.methods.recovery.training import Student, Training
    from llmrank.models.language_model import ModelSpec, load

    lm = load(ModelSpec())
    ids = torch.randint(0, lm.model.config.vocab_size, (2, 256))
    student = copied(lm)
    weights = list(trainable(student, "ffn"))
    inputs = RecoveryInputs(lm, ids, {"a": ids})
    training = Training(Distillation().budget, Student(student, weights), inputs)
    token = ids[:1, :1]

    def decode() -> None:
        past = lm.model(ids[:1, :64], use_cache=True).past_key_values
        for _ in range(16):
            lm.model(token, past_key_values=past, use_cache=True)

    pieces: dict[str, Callable[[], object]] = {
        "calibration, 8 × 256": lambda: calibrate(
            lm, CalibrationSpec(samples=8, seq_len=256)
        ),
        "evaluation, 2,048 tokens": lambda: evaluate(
            lm, EvaluationSpec(eval_tokens=2048)
        ),
        "a prompt of 64 and 16 tokens": torch.no_grad()(decode),
        "a step of recovery, 512 tokens": lambda: training._step(ids),
    }
    return {name: timed(piece) for name, piece in pieces.items()}


def timed(piece: Callable[[], object]) -> tuple[float, float]:
    """Return the medians of wall and CPU seconds over three times."""
    piece()
    taken = []
    for _ in range(3):
        wall, cpu = time.perf_counter(), time.process_time()
        piece()
        taken.append((time.perf_counter() - wall, time.process_time() - cpu))
    walls, cpus = zip(*taken, strict=True)
    return statistics.median(walls), statistics.median(cpus)


if __name__ == "__main__":
    main()
