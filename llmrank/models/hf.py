"""transformers, imported late: one model built at a time, its progress passed on."""

import functools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from llmrank.core.progress import Progress, silent, track

POLL_S = 0.2

BUILDING = threading.RLock()
"""Held while a model is built; see `building`."""

_watcher: ContextVar[tuple[str, Progress] | None] = ContextVar("watcher", default=None)


@functools.cache
def transformers() -> Any:
    """Import late, and silence: it takes seconds, and pages draw their frame first."""
    import transformers
    from transformers import modeling_gguf_pytorch_utils as gguf

    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.set_tqdm_hook(_bar)
    gguf.tqdm = transformers.utils.logging.tqdm  # it alone imports its own
    return transformers


@contextmanager
def building(what: str = "", progress: Progress = silent) -> Iterator[None]:
    """Hold the lock under which transformers may build a model, and pass on its bars.

    It patches its own classes meanwhile: two threads at once leave `tie_weights`
    switched off for the life of the process (initialization.no_tie_weights in 5.23).

    Raises:
        CancelledError: from `progress`, also while another thread builds.
    """
    while not BUILDING.acquire(timeout=POLL_S):
        progress(f"{what}: waiting for another model", 0, 1)
    try:
        with reported(what, progress):
            yield
    finally:
        BUILDING.release()


@contextmanager
def reported(what: str, progress: Progress) -> Iterator[None]:
    """Pass the progress bars that transformers opens in this thread on to `progress`.

    What `progress` raises leaves transformers as an interrupt would.
    """
    before = _watcher.set((what, progress))
    try:
        yield
    finally:
        _watcher.reset(before)


def _bar(factory: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    watcher = _watcher.get()
    if watcher is None or not args:
        return factory(*args, **kwargs)
    what, progress = watcher
    if "GGUF" in kwargs.get("desc", ""):  # the loop over the loaded tensors follows
        what += ", dequantising"
    return track(list(args[0]), what, progress)
