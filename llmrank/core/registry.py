"""Named kinds of things: what is registered, and what to say of an unknown name."""

from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

from llmrank.core.errors import OptionError
from llmrank.core.specs import described, options

T = TypeVar("T")


class Registry(Generic[T]):
    """A mapping from names to entries that names the known ones when one is not.

    `help` says what is chosen with an entry.
    """

    def __init__(self, noun: str, help: str = "") -> None:
        self.noun, self.help = noun, help
        self._entries: dict[str, T] = {}

    def add(self, name: str) -> Callable[[T], T]:
        """Return a decorator that registers its target under the name.

        A class has it as its `name` from then on.
        """

        def register(entry: T) -> T:
            assert name not in self._entries, f"{self.noun} {name!r} is there already"
            self._entries[name] = entry
            if isinstance(entry, type):
                entry.name = name  # type: ignore[attr-defined]
            return entry

        return register

    def __getitem__(self, name: str) -> T:
        if name not in self._entries:
            known = ", ".join(self._entries)
            raise OptionError(f"unknown {self.noun} {name[:80]!r}; there are: {known}")
        return self._entries[name]

    def build(self, name: str, **fields: Any) -> Any:
        """Build an entry that is a spec class; fields it does not have are refused.

        Raises:
            OptionError: unknown name, unknown field, or a value outside its limits.
        """
        cls: Any = self[name]
        known = [o.name for o in options(cls)]
        for field in fields:
            if field not in known:
                has = ", ".join(known) or "no parameters"
                raise OptionError(f"{self.noun} {name} has no {field!r}; it has: {has}")
        return cls(**fields)

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)


def recipe(spec: Any) -> dict[str, Any]:
    """Return a registered spec as plain values: its name and its fields."""
    return {"name": spec.name, **described(spec)}
