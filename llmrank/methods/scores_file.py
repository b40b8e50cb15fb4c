"""Scores and the statistics behind them as a safetensors file."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from llmrank.calibration.activations import ActivationStats
from llmrank.core.paths import written_file
from llmrank.methods.criteria import Scores


def write_scores(
    path: Path, scores: Scores, stats: ActivationStats, recipe: Mapping[str, Any]
) -> None:
    """Write scores and statistics as safetensors, the recipe in the metadata.

    Tensors `layers.{i}.scores` and `layers.{i}.input_norm|up_norm|neuron_norm|
    output_norm`, all float32.

    Raises:
        LLMRankError: the file cannot be written.
    """
    tensors = {f"layers.{i}.scores": s.float() for i, s in enumerate(scores.layers)}
    for i, layer in enumerate(stats.layers):
        for name in ("input_norm", "up_norm", "neuron_norm", "output_norm"):
            tensors[f"layers.{i}.{name}"] = getattr(layer, name)
    origin = {"recipe": json.dumps(recipe), "text_sha256": stats.text_sha256}
    with written_file(path) as beside:
        own = {name: t.clone() for name, t in tensors.items()}  # a score may be a norm
        save_file(own, beside, metadata={"format": "pt", **origin})
