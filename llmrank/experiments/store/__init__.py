"""The embedded database of results: what was run, on what, and all it measured."""

from llmrank.experiments.store.records import (
    Arena,
    Cell,
    Origin,
    Run,
    RunState,
    fingerprint,
    measured,
)
from llmrank.experiments.store.store import Store

__all__ = [
    "Arena",
    "Cell",
    "Origin",
    "Run",
    "RunState",
    "Store",
    "fingerprint",
    "measured",
]
