"""What an experiment is: its settings, its pipeline, arenas, and what is kept of it."""

from llmrank.core.lazy import handed_on

__getattr__, __all__ = handed_on(
    __name__,
    experiment="Experiment",
    pipeline="Pipeline",
    run="Report",
    store="Store",
    arena="ArenaSpec",
)
