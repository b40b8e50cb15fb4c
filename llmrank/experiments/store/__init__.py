"""The embedded database of results: what was run, on what, and all it measured."""

from llmrank.experiments.store.records import (
    Arena,
    Origin,
    Run,
    RunSpec,
    RunState,
    fingerprint,
    measured,
)
from llmrank.experiments.store.store import Store
