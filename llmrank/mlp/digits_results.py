"""What was measured on the digits beforehand, for the lab's views to open on."""

import json
from collections.abc import Hashable, Mapping
from dataclasses import astuple
from functools import cache
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool
from torch import Tensor

from llmrank.mlp.experiment import Point
from llmrank.mlp.retraining import Recovery
from llmrank.mlp.robustness import RobustnessResult
from llmrank.mlp.training import Epoch

SHIPPED = Path(__file__).parent / "digits_results.json"
"""Written by `python -m benchmarks.shipped_mlp`."""


def shipped_result(kind: str, key: Hashable) -> Any:
    """Return the result that comes along, or None where other settings made it.

    Args:
        kind: claim (points of the paper's experiment), after (a recovery, without its
            networks) or shaken (robustness results).
        key: all that the result follows from.
    """
    made_by, result = _read().get(kind, ("", None))
    return result if made_by == repr(key) else None


def as_json(made: Mapping[str, tuple[Hashable, Any]]) -> str:
    """Write the results of all kinds, each with its key, a row to a line."""
    kept = {
        kind: {"key": repr(key), "result": _rows(kind, result)}
        for kind, (key, result) in made.items()
    }
    return json.dumps(kept).replace("], [", "],\n[") + "\n"


def _rows(kind: str, result: Any) -> list[Any]:
    if kind == "claim":
        return [astuple(point) for point in result]
    if kind == "shaken":
        return [
            [r.network, r.corruption, r.strength, _as_text(r.right)] for r in result
        ]
    epochs = result.curves.items()
    curves = {name: [astuple(epoch) for epoch in curve] for name, curve in epochs}
    return [result.dense_accuracy, result.at_start, curves, result.n_test]


@cache
def _read() -> dict[str, tuple[str, Any]]:
    kept = json.loads(SHIPPED.read_text(encoding="utf-8"))
    made = {
        "claim": lambda rows: tuple(Point(*row) for row in rows),
        "after": _recovery,
        "shaken": _robustness,
    }
    return {kind: (one["key"], made[kind](one["result"])) for kind, one in kept.items()}


def _recovery(row: list[Any]) -> Recovery:
    dense, at_start, epochs, n_test = row
    curves = {name: tuple(Epoch(*e) for e in curve) for name, curve in epochs.items()}
    return Recovery(dense, at_start, curves, {}, n_test)


def _robustness(rows: list[Any]) -> tuple[RobustnessResult, ...]:
    right = {(name, *cell): _as_tensor(text) for name, *cell, text in rows}
    return tuple(
        RobustnessResult(name, kind, strength, own, right["dense", kind, strength])
        for (name, kind, strength), own in right.items()
    )


def _as_text(right: Bool[Tensor, " n"]) -> str:
    """Write a bit per example in base 16, after a 1 that keeps leading zeros."""
    return f"{int('1' + ''.join(str(int(r)) for r in right), 2):x}"


def _as_tensor(text: str) -> Bool[Tensor, " n"]:
    return torch.tensor([bit == "1" for bit in f"{int(text, 16):b}"[1:]])
