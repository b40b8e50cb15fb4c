"""Specs: frozen dataclasses whose fields declare their limits, choices and help.

One declaration feeds the constructor's check, the command line, the page's control,
the link and the explanation.
"""

import dataclasses
import functools
import sys
from typing import Any, Literal, TypeVar, dataclass_transform, get_args, get_origin

from llmrank.core.errors import OptionError
from llmrank.core.formatting import choice

T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class Option:
    """One declared field of a spec."""

    name: str
    kind: type
    default: Any
    help: str
    low: float | int | None = None
    high: float | int | None = None
    below: float | int | None = None
    symbol: str = ""
    unit: str = ""
    choices: tuple[str, ...] = ()

    @property
    def letter(self) -> str:
        """What formulas call it, or its name."""
        return self.symbol or self.name

    @property
    def limits(self) -> str:
        """The allowed values in words, as error messages give them."""
        if self.choices:
            return f"be one of {', '.join(self.choices)}"
        noun = "be a whole number" if self.kind is int else "be a number"
        if self.kind is str:
            return "be text"
        top = self.below if self.below is not None else self.high
        if self.low is not None and top is not None:
            close = ")" if self.below is not None else "]"
            return f"{'' if self.kind is float else noun + ' and '}lie in " + (
                f"[{self.low}, {top}{close}"
            )
        return noun if self.low is None else f"{noun} of at least {self.low}"

    def written(self, value: object) -> str:
        """Write what it is set to as a part of a name: 10 min, theta=0.5."""
        if self.unit:
            n = f"{value:,}" if isinstance(value, int) else f"{value:g}"
            return f"{n} {self.unit}"
        return f"{self.name}={choice(value)}"

    def check(self, value: object) -> None:
        """Raise `OptionError` unless the value is of the kind and in the limits."""
        if not (_is_kind(value, self.kind) and self._allows(value)):
            raise OptionError(f"{self.name} must {self.limits}, got {_shown(value)}")

    def parse(self, text: str) -> Any:
        """Read the value from a link or a command line; raise `OptionError`."""
        try:
            value = self.kind(text)
        except ValueError:
            value = text
        self.check(value)
        return value

    def _allows(self, value: Any) -> bool:
        if self.choices:
            return value in self.choices
        return (
            (self.low is None or value >= self.low)
            and (self.high is None or value <= self.high)
            and (self.below is None or value < self.below)
        )


def option(  # noqa: PLR0913
    *,
    default: Any,
    help: str,
    low: float | int | None = None,
    high: float | int | None = None,
    below: float | int | None = None,
    symbol: str = "",
    unit: str = "",
) -> Any:
    """Declare a field of a spec: its help, its limits and what formulas call it.

    `below` is exclusive; a number with a unit needs no name beside it.
    """
    declared = {"help": help, "low": low, "high": high, "below": below}
    words = {"symbol": symbol, "unit": unit}
    return dataclasses.field(default=default, metadata=declared | words)


@dataclass_transform(frozen_default=True, field_specifiers=(option,))
def spec(cls: type[T]) -> type[T]:
    """Make a class a frozen dataclass that checks its declared fields when built."""

    def check(self: object) -> None:
        for declared in options(type(self)):
            value = getattr(self, declared.name)
            declared.check(value)
            if declared.kind is float:  # 1 and 1.0 are one key, one link, one number
                object.__setattr__(self, declared.name, float(value))

    cls.__post_init__ = check  # type: ignore[attr-defined]
    # The fields check themselves; a type check before them would hide their sentence.
    cls.__no_type_check__ = True  # type: ignore[attr-defined]
    return dataclasses.dataclass(frozen=True)(cls)


def options(cls: type) -> tuple[Option, ...]:
    """Return the declared fields of a spec class, in order."""
    return _declared(cls)


@functools.cache
def _declared(cls: Any) -> tuple[Option, ...]:
    return tuple(
        Option(name=f.name, default=f.default, **_kind(f.type), **f.metadata)
        for f in dataclasses.fields(cls)
        if "help" in f.metadata
    )


def described(spec_object: object) -> dict[str, Any]:
    """Return the declared fields of a spec as plain values (log, JSON, link)."""
    return {o.name: getattr(spec_object, o.name) for o in options(type(spec_object))}


def _kind(annotation: Any) -> dict[str, Any]:
    if get_origin(annotation) is Literal:
        return {"kind": str, "choices": get_args(annotation)}
    return {"kind": annotation}


def _is_kind(value: object, kind: type) -> bool:
    if isinstance(value, bool):
        return kind is bool
    if kind is float:
        return isinstance(value, int | float) and abs(value) <= sys.float_info.max
    return isinstance(value, kind)


def _shown(value: object) -> str:
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= 80 else text[:77] + "..."
