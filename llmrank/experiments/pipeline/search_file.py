"""Searches on the disk: one that was stopped, or whose process died, goes on."""

import hashlib
import json
from contextlib import suppress
from pathlib import Path

from llmrank.core.paths import keep_in, searches_folder, written_file
from llmrank.core.registry import recipe
from llmrank.core.specs import described
from llmrank.experiments.pipeline.key import StageSpecs
from llmrank.methods.width_search import Searched


class SearchFile:
    """Where the search of one method at one sparsity is kept."""

    def __init__(self, of: StageSpecs, text_sha256: str, weights: str) -> None:
        """Name the file by all that decides the search, as a recipe names it."""
        decided = {
            "model": described(of.model),
            "calibration": described(of.calibration),
            "criterion": recipe(of.criterion),
            "pruning": described(of.pruning),
            "allocation": recipe(of.allocation),
            "repair": recipe(of.repair),
            "text": text_sha256,
            "weights": weights,
        }
        self._path = _named(json.dumps(decided, sort_keys=True))
        self._before = _named(repr((of, text_sha256, weights)))

    def read(self) -> Searched | None:
        """Return the search so far; None where there is none that can be read.

        Version 0.1.0 named the file by the reprs of the specs.
        """
        for path in (self._path, self._before):
            with suppress(OSError, ValueError, KeyError, TypeError):
                return Searched.from_json(json.loads(path.read_text("utf-8")))
        return None

    def write(self, found: Searched) -> None:
        """Keep the search so far, whole or not at all."""
        keep_in(self._path.parent, "the search")
        with written_file(self._path) as beside:
            beside.write_text(json.dumps(found.to_json()), "utf-8")


def _named(decided: str) -> Path:
    return searches_folder() / f"{hashlib.sha256(decided.encode()).hexdigest()}.json"
