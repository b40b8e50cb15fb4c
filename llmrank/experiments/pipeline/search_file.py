"""Searches on the disk: one that was stopped, or whose process died, goes on."""

import hashlib
import json

from llmrank.core.paths import keep_in, searches_folder, written_file
from llmrank.experiments.pipeline.key import StageSpecs
from llmrank.methods.width_search import Searched


class SearchFile:
    """Where the search of one method at one sparsity is kept."""

    def __init__(self, of: StageSpecs, text_sha256: str, weights: str) -> None:
        """Name the file by all that decides the search."""
        digest = hashlib.sha256(repr((of, text_sha256, weights)).encode()).hexdigest()
        self._path = searches_folder() / f"{digest}.json"

    def read(self) -> Searched | None:
        """Return the search so far; None where there is none that can be read."""
        try:
            return Searched.from_json(json.loads(self._path.read_text("utf-8")))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def write(self, found: Searched) -> None:
        """Keep the search so far, whole or not at all."""
        keep_in(self._path.parent, "the search")
        with written_file(self._path) as beside:
            beside.write_text(json.dumps(found.to_json()), "utf-8")
