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
