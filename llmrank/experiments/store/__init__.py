"""The embedded database of results: what was run, on what, and all it measured."""

from llmrank.experiments.store.records import (
    MEASURES,
    Arena,
    Cell,
    Measure,
    Origin,
    Run,
    RunState,
    fingerprint,
    measured,
)
from llmrank.experiments.store.store import Store

__all__ = [
    "MEASURES",
    "Arena",
    "Cell",
    "Measure",
    "Origin",
    "Run",
    "RunState",
    "Store",
    "fingerprint",
    "measured",
]
