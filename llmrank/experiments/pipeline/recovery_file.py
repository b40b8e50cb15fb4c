"""Recoveries on the disk: one that was killed goes on, one that ended is there."""

import copy
import hashlib
import json
import os
from contextlib import suppress
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from llmrank.core.paths import cache_folder, keep_in, kept_within, written_file
from llmrank.experiments.experiment import Experiment
from llmrank.experiments.pipeline.stage import pruned_key
from llmrank.models.language_model import LanguageModel, weights_sample

LIMIT = 4_000_000_000
"""Bytes of all files; those used longest ago go."""


class RecoveryFile:
    """Where one recovery of one pruned model is kept, whole or not at all."""

    def __init__(
        self, experiment: Experiment, dense: LanguageModel, text_sha256: str
    ) -> None:
        """Name the file by all that decides the training."""
        decided = [
            pruned_key(experiment).to_json(), text_sha256,
            weights_sample(dense), dense.device.type,
        ]  # fmt: skip
        digest = hashlib.sha256(json.dumps(decided, sort_keys=True).encode())
        name = f"{digest.hexdigest()[:32]}.safetensors"
        self._path = cache_folder() / "recoveries" / name

    def beside(self, name: str) -> "RecoveryFile":
        """Return the file of a second training that belongs to this one."""
        other = copy.copy(self)
        other._path = self._path.with_stem(f"{self._path.stem}-{name}")
        return other

    def read(self) -> tuple[dict[str, Any], dict[str, Tensor]] | None:
        """Return what was kept last; None for nothing, and for what is damaged."""
        with suppress(OSError, SafetensorError, LookupError, TypeError, ValueError):
            with safe_open(self._path, "pt") as file:
                plain = json.loads(file.metadata()["plain"])
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            with suppress(OSError):  # somebody else's file
                os.utime(self._path)
            return plain, tensors
        return None

    def write(self, plain: dict[str, Any], tensors: dict[str, Tensor]) -> None:
        """Keep it in the place of what was kept before.

        Raises:
            LLMRankError: the disk is full or fails.
        """
        keep_in(self._path.parent, "the recovery")
        with written_file(self._path) as beside:
            save_file(tensors, beside, {"plain": json.dumps(plain)})
        kept_within(self._path.parent, LIMIT)
