"""What a method is: criterion, allocation, repair, recovery; each a registered part."""

import re
from dataclasses import dataclass, replace
from typing import Any

from llmrank.core.errors import OptionError
from llmrank.core.registry import Registry, recipe
from llmrank.core.specs import options
from llmrank.methods.allocation import ALLOCATIONS, Allocation, BlockInfluence, Uniform
from llmrank.methods.criteria import CRITERIA, Criterion, LLMRank
from llmrank.methods.recovery import RECOVERIES, NoRecovery, Recovery
from llmrank.methods.repair import REPAIRS, LeastSquares, NoRepair, Repair

PARTS: dict[str, Registry[Any]] = {
    "criterion": CRITERIA,
    "allocation": ALLOCATIONS,
    "repair": REPAIRS,
    "recovery": RECOVERIES,
}
"""The parts of a method: each is named by one setting and has parameters of its own."""


SEEDS = ("seed", "items_seed")
"""The fields that a cell's seed sets, wherever a part of its experiment has one."""


BETWEEN = re.compile(r":(?=\s*\w+\s*=)")
"""Between two fields: a colon before anything else is of the value."""


@dataclass(frozen=True)
class Method:
    """What is compared: which neurons go, how many of each layer, what is mended after.

    Its parts are named as in `PARTS`.
    """

    criterion: Criterion = LLMRank()
    allocation: Allocation = Uniform()
    repair: Repair = NoRepair()
    recovery: Recovery = NoRecovery()

    @property
    def name(self) -> str:
        """Its parts with the parameters that differ from their defaults."""
        return " + ".join(label(part) for part in self.unseeded.told)

    @property
    def told(self) -> tuple[Any, ...]:
        """The criterion, and those other parts that are not the usual."""
        usual = Method()
        own = {part: getattr(self, part) for part in PARTS}
        return tuple(
            value
            for part, value in own.items()
            if part == "criterion" or value != getattr(usual, part)
        )

    def to_json(self) -> dict[str, Any]:
        """Return the method as plain values.

        No recovery is not named: recipes from before there was one stay the same.
        """
        named = [part for part in PARTS if part != "recovery" or self.recovery.trains]
        return {part: recipe(getattr(self, part)) for part in named}

    @staticmethod
    def from_json(plain: dict[str, Any]) -> "Method":
        """Rebuild a method from `to_json`'s values.

        Raises:
            OptionError: a name, a field or a value that this version does not have.
        """
        return Method(**{part: PARTS[part].build(**plain[part]) for part in plain})

    @property
    def unseeded(self) -> "Method":
        """The method with every seed at its default: what competes with others."""
        return self.seeded(None)

    @property
    def untrained(self) -> "Method":
        """The method without its recovery."""
        return replace(self, recovery=NoRecovery())

    def seeded(self, seed: int | None) -> "Method":
        """Return the method with every seed set; None sets the defaults."""
        parts = {part: seeded(getattr(self, part), seed) for part in PARTS}
        return Method(**parts)


DEFAULT = Method(allocation=BlockInfluence(), repair=LeastSquares())
"""What is meant where nobody names a method: the best that nobody waits for."""


def method(words: str) -> Method:
    """Read a method from a command line: `wanda`, `llm-rank:theta=0.25+least-squares`.

    Parts come in any order; what is not named is as usual. A value may hold a colon
    (`gprune:second_text=upload:…`), but for one that begins another name=value.

    Raises:
        OptionError: a name that no part has, two names of one part, or a value outside
            its limits.
    """
    parts: dict[str, Any] = {}
    for word in words.split("+"):
        name, colon, rest = (w.strip() for w in word.partition(":"))
        fields = BETWEEN.split(rest) if colon else []
        part = _part_of(name)
        if part in parts:
            raise OptionError(f"{words[:80]!r} names {part} twice")
        kind = PARTS[part][name]
        parts[part] = kind(**dict(_field(kind, name, f.strip()) for f in fields))
    if "criterion" not in parts:
        raise OptionError(
            f"{words[:80]!r} names no criterion; there are: {', '.join(CRITERIA)}"
        )
    return Method(**parts)


def seeded(spec: Any, seed: int | None) -> Any:
    """Return a spec with the seeds that it has set; None sets their defaults."""
    own = [o for o in options(type(spec)) if o.name in SEEDS]
    return replace(spec, **{o.name: o.default if seed is None else seed for o in own})


def changed(part: Any) -> dict[str, Any]:
    """Return the parameters of a part that differ from their defaults."""
    values = {o: getattr(part, o.name) for o in options(type(part))}
    return {o.name: value for o, value in values.items() if value != o.default}


def label(part: Any) -> str:
    """Name a part with the parameters that differ from its defaults."""
    values = {o: getattr(part, o.name) for o in options(type(part))}
    told = (o.written(value) for o, value in values.items() if value != o.default)
    return " ".join([part.name, *told])


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
    plain = made.unseeded
    words = "+".join(map(_written, plain.told))
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


def _written(part: Any) -> str:
    values = (f"{name}={value}" for name, value in changed(part).items())
    return ":".join([part.name, *values])
