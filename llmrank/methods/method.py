"""What a method is: a criterion, an allocation and a repair, each a registered part."""

import re
from dataclasses import dataclass, replace
from typing import Any

from llmrank.core.errors import OptionError
from llmrank.core.registry import Registry, recipe
from llmrank.core.specs import options
from llmrank.methods.allocation import ALLOCATIONS, Allocation, Uniform
from llmrank.methods.criteria import CRITERIA, Criterion, LLMRank
from llmrank.methods.repair import REPAIRS, NoRepair, Repair

PARTS: dict[str, Registry[Any]] = {
    "criterion": CRITERIA,
    "allocation": ALLOCATIONS,
    "repair": REPAIRS,
}
"""The parts of a method: each is named by one setting and has parameters of its own."""


SEEDS = ("seed", "items_seed")
"""The fields that a cell's seed sets, wherever a part of its experiment has one."""


_BETWEEN = re.compile(r":(?=\s*\w+\s*=)")
"""Between two fields: a colon before anything else is of the value."""


@dataclass(frozen=True)
class Method:
    """What is compared: which neurons go, how many of each layer, and what is mended.

    Its parts are named as in `PARTS`.
    """

    criterion: Criterion = LLMRank()
    allocation: Allocation = Uniform()
    repair: Repair = NoRepair()

    @property
    def name(self) -> str:
        """Its parts with the parameters that differ from their defaults."""
        usual = Method()
        parts = ("allocation", "repair")
        named = [
            "criterion",
            *(p for p in parts if getattr(self, p) != getattr(usual, p)),
        ]
        return " + ".join(_label(getattr(self, part)) for part in named)

    def to_json(self) -> dict[str, Any]:
        """Return the method as plain values."""
        return {part: recipe(getattr(self, part)) for part in PARTS}

    @staticmethod
    def from_json(plain: dict[str, Any]) -> "Method":
        """Rebuild a method from `to_json`'s values.

        Raises:
            OptionError: a name, a field or a value that this version does not have.
        """
        return Method(**{part: PARTS[part].build(**plain[part]) for part in plain})

    @property
    def unseeded(self) -> "Method":
        """The method with every seed at its default."""
        return Method(**{part: _unseeded(getattr(self, part)) for part in PARTS})


def method(words: str) -> Method:
    """Read a method from a command line: `wanda`, `llm-rank:theta=0.25+least-squares`.

    Parts come in any order; what is not named is as usual. A value may hold a colon
    (`gprune:second_text=upload:…`), but for one that begins another name=value.

    Raises:
        OptionError: a name that no part has, two names of one part, or a value outside
            its limits.
    """
    found: dict[str, Any] = {}
    for word in words.split("+"):
        name, colon, rest = (w.strip() for w in word.partition(":"))
        fields = _BETWEEN.split(rest) if colon else []
        part = _part_of(name)
        if part in found:
            raise OptionError(f"{words[:80]!r} names {part} twice")
        kind = PARTS[part][name]
        found[part] = kind(**dict(_field(kind, name, f.strip()) for f in fields))
    if "criterion" not in found:
        raise OptionError(
            f"{words[:80]!r} names no criterion; there are: {', '.join(CRITERIA)}"
        )
    return Method(**found)


def _unseeded(part: Any) -> Any:
    usual = {o.name: o.default for o in options(type(part)) if o.name in SEEDS}
    return replace(part, **usual)


def _label(part: Any) -> str:
    """Name a part with the parameters that differ from its defaults, seeds aside."""
    changed = [
        f"{o.name}={getattr(part, o.name)}"
        for o in options(type(part))
        if o.name not in SEEDS and getattr(part, o.name) != o.default
    ]
    return " ".join([part.name, *changed])


def _part_of(name: str) -> str:
    for part, registry in PARTS.items():
        if name in registry:
            return part
    known = "; ".join(f"{p}: {', '.join(r)}" for p, r in PARTS.items())
    raise OptionError(f"unknown part of a method {name[:80]!r}; there are: {known}")


def _field(kind: Any, name: str, words: str) -> tuple[str, Any]:
    field, equals, value = words.partition("=")
    known = {o.name: o for o in options(kind)}
    if not equals or field not in known:
        has = ", ".join(known) or "no parameters"
        raise OptionError(
            f"{name} has no {words[:80]!r}; write one as name=value: {has}"
        )
    return field, known[field].parse(value)


def written(made: Method) -> str:
    """Write a method so that `method` reads it again; seeds are the cell's.

    Raises:
        OptionError: a value, such as a path, has a character that words cannot carry.
    """
    plain, usual = made.unseeded, Method()
    words = "+".join(
        _written(getattr(plain, part))
        for part in PARTS
        if part == "criterion" or getattr(plain, part) != getattr(usual, part)
    )
    try:
        is_same = method(words) == plain
    except OptionError:
        is_same = False
    if not is_same:
        raise OptionError(
            f"{plain.name[:80]!r} cannot be written in words: one of its values has a "
            "'+' or begins another name=value; name that file otherwise"
        )
    return words


def _written(part: object) -> str:
    changed = [
        f"{o.name}={getattr(part, o.name)}"
        for o in options(type(part))
        if getattr(part, o.name) != o.default
    ]
    return ":".join([str(getattr(part, "name")), *changed])  # noqa: B009
