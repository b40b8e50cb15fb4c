"""What is made once and lives as long as the process."""

import functools
import threading
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


def lasting(make: Callable[P, T]) -> Callable[P, T]:
    """Make it when it is first asked for, once for each argument, and never again.

    Streamlit's own memory of resources is emptied for all by one visitor's message.
    `cache_clear` forgets, for tests.
    """
    lock, kept = threading.RLock(), functools.cache(make)

    @functools.wraps(make)
    def locked(*given: P.args, **more: P.kwargs) -> T:
        with lock:
            return kept(*given, **more)

    locked.cache_clear = kept.cache_clear  # type: ignore[attr-defined]
    return locked
