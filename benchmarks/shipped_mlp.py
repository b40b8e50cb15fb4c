"""The digits network that comes along, and what the lab's views open on.

    OMP_NUM_THREADS=1 python -m benchmarks.shipped_mlp

Half a minute on one core: the network is trained by the recipe of the page, then the
paper's experiment, the three ways back and the corruptions are run as their buttons
run them at their defaults. Another version of torch may end at other last bits; the
accuracy stays, and tests compare it.
"""

import json
import time
from collections.abc import Hashable
from dataclasses import astuple, replace
from typing import Any

import torch

from llmrank import mlp
from llmrank.mlp import digits_network, digits_results
from pages.shared.lab import paper_experiment, retraining, settings


def main() -> None:
    """Train and measure, and write weights, recipe and results."""
    data, training = mlp.DataSpec(), mlp.MLPSpec()
    made = mlp.train(training, mlp.examples(data))
    about = {
        "recipe": digits_network.recipe(data, training),
        "epochs": json.dumps([astuple(epoch) for epoch in made.epochs]),
        "torch": torch.__version__,
    }
    digits_network.SHIPPED.write_bytes(mlp.as_bytes(made.network, about))
    digits_results.SHIPPED.write_text(
        digits_results.as_json(measured(data, training, made)), encoding="utf-8"
    )
    for path in (digits_network.SHIPPED, digits_results.SHIPPED):
        print(f"{path}: {path.stat().st_size:,} bytes")


def measured(
    data: mlp.DataSpec, training: mlp.MLPSpec, made: mlp.Trained
) -> dict[str, tuple[Hashable, Any]]:
    """Return each result of the lab at its defaults, with the key it has there."""
    lab = settings.Lab(
        data, training, mlp.MLPRank(), settings.RIVALS.usual, "mlp-rank",
        settings.SPARSITY.default,
    )  # fmt: skip
    examples = mlp.examples(data)
    spec = mlp.RetentionSpec(seeds=paper_experiment.SEEDS.default)
    papers = replace(mlp.MLPSpec(), epochs=paper_experiment.EPOCHS)
    again = replace(training, epochs=retraining.EPOCHS.default)
    scores = {n: mlp.score(made.network, examples, c) for n, c in lab.criteria.items()}
    plans = {n: mlp.planned(score, lab.sparsity) for n, score in scores.items()}
    networks = {n: mlp.prune(made.network, plan) for n, plan in plans.items()}
    tasks = {
        paper_experiment.KIND: (
            paper_experiment.key_of(lab, spec, papers),
            lambda: mlp.retention(spec, papers, lab.ranked),
        ),
        retraining.AFTER: (
            retraining.recovery_key(lab, again),
            lambda: mlp.recover(made, plans["mlp-rank"], again, examples),
        ),
        retraining.SHAKEN: (
            retraining.robustness_key(lab),
            lambda: mlp.robustness_results(
                {"dense": made.network} | networks, examples, dense=made.network
            ),
        ),
    }
    found = {}
    for kind, (key, make) in tasks.items():
        start = time.perf_counter()
        found[kind] = key, make()
        print(f"{kind}: {time.perf_counter() - start:.0f} s")
    return found


if __name__ == "__main__":
    main()
