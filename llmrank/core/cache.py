"""The last few results of a computation, shared by threads."""

import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Collection, Hashable
from typing import Any, Generic, TypeVar

T = TypeVar("T")

_every: "weakref.WeakSet[Cache[Any]]" = weakref.WeakSet()
_listing = threading.Lock()


class Cache(Generic[T]):
    """The last few results of one stage; made once, however many ask at a time."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._results: OrderedDict[Hashable, T] = OrderedDict()
        self._lock = threading.Lock()
        self._making: dict[Hashable, threading.Lock] = {}
        with _listing:
            _every.add(self)

    def peek(self, key: Hashable) -> T | None:
        """Return the result if it is there; never wait."""
        with self._lock:
            if key in self._results:
                self._results.move_to_end(key)
            return self._results.get(key)

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._results.clear()

    def forget(self, names: Collection[str]) -> None:
        """Forget what is kept under keys that name one of these."""
        with self._lock:
            said = {key: repr(key) for key in self._results}
            for key, text in said.items():
                if any(name in text for name in names):
                    del self._results[key]

    def items(self) -> list[tuple[Any, T]]:
        """Return every key with its result, the one used longest ago first."""
        with self._lock:
            return list(self._results.items())

    def put(self, key: Hashable, result: T) -> None:
        """Remember a result; the oldest is forgotten."""
        with self._lock:
            self._results[key] = result
            self._results.move_to_end(key)
            while len(self._results) > self._limit:
                self._results.popitem(last=False)

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """Return the result, making it first where it is missing."""
        with self._lock:
            making = self._making.setdefault(key, threading.Lock())
        with making:
            result = self.peek(key)
            if result is not None:
                return result
            try:
                made = make()
                self.put(key, made)
            finally:
                with self._lock:
                    self._making.pop(key, None)
            return made


def forget(names: Collection[str]) -> None:
    """Forget in every memo of the process what is kept under keys that name these."""
    with _listing:
        memos = list(_every) if names else []
    for memo in memos:
        memo.forget(names)
