"""The digits network that comes along, trained anew by the recipe of the page.

    OMP_NUM_THREADS=1 python -m benchmarks.shipped_mlp

Two seconds on one core. Another version of torch may end at other last bits; the
accuracy stays, and a test compares it.
"""

import json
from dataclasses import astuple

import torch

from llmrank import mlp
from llmrank.mlp.digits_network import SHIPPED, recipe


def main() -> None:
    """Train, and write weights and recipe."""
    data, training = mlp.DataSpec(), mlp.MLPSpec()
    made = mlp.train(training, mlp.examples(data))
    about = {
        "recipe": recipe(data, training),
        "epochs": json.dumps([astuple(epoch) for epoch in made.epochs]),
        "torch": torch.__version__,
    }
    SHIPPED.write_bytes(mlp.as_bytes(made.network, about))
    print(f"{SHIPPED}: {SHIPPED.stat().st_size:,} bytes, {made.epochs[-1]}")


if __name__ == "__main__":
    main()
