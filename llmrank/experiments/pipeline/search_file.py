"""Searches on the disk: one that was stopped, or whose process died, goes on."""

import hashlib
import json
from contextlib import suppress
from pathlib import Path

from llmrank.core.paths import keep_in, searches_folder, written_file
from llmrank.core.specs import described
from llmrank.experiments.experiment import Experiment
from llmrank.methods.width_search import Searched


class SearchFile:
    """Where the search of one method at one sparsity is kept."""

    def __init__(
        self, experiment: Experiment, text_sha256: str, weights_sha256: str
    ) -> None:
        """Name the file by all that decides the search, as a recipe names it."""
        decided = {
            "model": described(experiment.model),
            "calibration": described(experiment.calibration),
            "pruning": described(experiment.pruning),
            **experiment.method.untrained.to_json(),
            "text": text_sha256,
            "weights": weights_sha256,
        }
        self._path = _named(json.dumps(decided, sort_keys=True))
        self._before = _named(_formerly(experiment, text_sha256, weights_sha256))

    def read(self) -> Searched | None:
        """Return the search so far; None where there is none that can be read.

        Version 0.1.0 named the file by the reprs of the specs.
        """
        for path in (self._path, self._before):
            with suppress(OSError, ValueError, KeyError, TypeError):
                return Searched.from_json(json.loads(path.read_text("utf-8")))
        return None

    def write(self, searched: Searched) -> None:
        """Keep the search so far, whole or not at all."""
        keep_in(self._path.parent, "the search")
        with written_file(self._path) as beside:
            beside.write_text(json.dumps(searched.to_json()), "utf-8")


def _formerly(experiment: Experiment, *digests: str) -> str:
    """Return the text that named a search in version 0.1.0."""
    specs = {name: getattr(experiment, name) for name in ("model", "calibration")}
    method = experiment.method
    specs |= {"criterion": method.criterion, "pruning": experiment.pruning}
    specs |= {"allocation": method.allocation, "repair": method.repair}
    said = ", ".join(f"{name}={spec!r}" for name, spec in specs.items())
    return f"(StageSpecs({said}), {', '.join(map(repr, digests))})"


def _named(decided: str) -> Path:
    return searches_folder() / f"{hashlib.sha256(decided.encode()).hexdigest()}.json"
