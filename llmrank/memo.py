"""The last few results of a computation, shared by threads."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Memo(Generic[T]):
    """The last few results of one stage; made once, however many ask at a time."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._results: OrderedDict[Hashable, T] = OrderedDict()
        self._lock = threading.Lock()
        self._making: dict[Hashable, threading.Lock] = {}

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
            found = self.peek(key)
            if found is not None:
                return found
            try:
                made = make()
                self.put(key, made)
            finally:
                with self._lock:
                    self._making.pop(key, None)
            return made
