"""Where a visitor is in the lesson, and how a link holds it."""

import re
from collections.abc import Callable, Iterator
from dataclasses import Field, dataclass, field, fields
from typing import Any

from llmrank.core.errors import LLMRankError
from llmrank.core.specs import options
from llmrank.lesson import network as lesson
from llmrank.lesson.network import LessonSpec, Network
from pages.shared.app import session

KEY = "lesson"
N_STEPS = 10
MAX_WALKED = 200_000
DEFAULT = tuple(float(w) for m in lesson.WEIGHTS for row in m for w in row)


def _whole(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not text.isdecimal() or not low <= int(text[:9]) <= high:
            raise ValueError
        return int(text)

    return parse


def _numbers(text: str) -> tuple[float, ...]:
    numbers = tuple(float(part) for part in text.split("_")[:100])
    lesson.network(numbers)  # refuses what cannot be
    return numbers


def _node(text: str) -> tuple[int, int]:
    layer, _, i = text.partition("-")
    at = _whole(0, len(lesson.SIZES) - 1)(layer)
    return at, _whole(0, lesson.SIZES[at] - 1)(i)


def _guesses(text: str) -> dict[int, str]:
    guesses = {}
    for part in filter(None, text.split("_")):
        step, _, guess = part.partition(":")
        if not re.fullmatch(r"[A-Za-z0-9-]{1,12}", guess):
            raise ValueError
        guesses[_whole(0, N_STEPS - 1)(step)] = guess
    return guesses


def _kept(
    usual: Any,
    parse: Callable[[str], Any],
    write: Callable[[Any], str] = str,
    link: str | None = None,
) -> Any:
    """Declare a field that the link keeps, under its own name or `link`."""
    how = {"parse": parse, "write": write, "link": link}
    return field(default_factory=lambda: usual, metadata=how)


def _slider(name: str) -> Any:
    (o,) = (o for o in options(LessonSpec) if o.name == name)
    return _kept(o.default, o.parse, "{:g}".format)


@dataclass(frozen=True)
class Place:
    """The step, the sliders, the network's weights, and what was guessed so far."""

    step: int = _kept(
        0, lambda text: _whole(1, N_STEPS)(text) - 1, lambda step: str(int(step) + 1)
    )
    moment: int = _kept(0, _whole(0, 3))
    theta: float = _slider("theta")
    gamma: float = _slider("gamma")
    sparsity: float = _slider("sparsity")
    numbers: tuple[float, ...] = _kept(
        DEFAULT, _numbers, lambda all_: "_".join(f"{w:g}" for w in all_), "weights"
    )
    node: tuple[int, int] = _kept((1, 0), _node, lambda at: "-".join(map(str, at)))
    guesses: dict[int, str] = _kept(  # noqa: RUF009
        {}, _guesses, lambda said: "_".join(f"{k}:{v}" for k, v in said.items())
    )
    walked: int = _kept(0, _whole(0, MAX_WALKED))
    presenter: bool = _kept(False, "on".__eq__, lambda on: "on" if on else "off")

    @property
    def settings(self) -> LessonSpec:
        """Where the sliders stand."""
        return LessonSpec(self.theta, self.gamma, self.sparsity)

    @property
    def network(self) -> Network:
        """The network that the weights make."""
        return lesson.network(self.numbers)


def _kinds() -> Iterator[tuple[str, Any, Field[Any]]]:
    """Return what the link keeps: its name there, its usual value, and the field."""
    for kind in fields(Place):
        link = kind.metadata["link"] or kind.name
        yield f"{KEY}.{link}", getattr(Place(), kind.name), kind


def place() -> tuple[Place, list[str]]:
    """Return where the link says the visitor is, and what of it cannot be."""
    found: dict[str, Any] = {}
    wrong: list[str] = []
    for link, _, kind in _kinds():
        text = session.views().get(link)
        if text is None:
            continue
        try:
            found[kind.name] = kind.metadata["parse"](text)
        except LLMRankError as error:
            wrong.append(f"The link's {error}; using the lesson's own.")
        except ValueError:
            said = f"{kind.name} {text[:40]!r}"
            wrong.append(f"The link's {said} cannot be read; ignored.")
    return Place(**found), wrong


def note(given: dict[str, Any]) -> None:
    """Put what the lesson says into the session and the link.

    Raises:
        TypeError, ValueError, AttributeError: the page's own lesson did not send it.
    """
    texts = {}
    for link, usual, kind in _kinds():
        write = kind.metadata["write"]
        text = write(given.get(kind.name, usual))
        texts[link] = None if text == write(usual) else text
    for link, text in texts.items():  # all or nothing
        session.view(link, text)
