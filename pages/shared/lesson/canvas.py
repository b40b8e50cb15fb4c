"""Mounts the lesson of assets/lesson, keeps its state in the link, times its end."""

import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import streamlit as st

from llmrank.core.errors import LLMRankError
from llmrank.core.jobs import Job
from llmrank.core.specs import options
from llmrank.lesson import network as lesson
from llmrank.lesson import race as timing
from llmrank.lesson.network import LessonSpec, Network
from llmrank.lesson.race import Race, RaceSpec
from llmrank.lesson.random_walk import referee
from llmrank.report.lesson import handout as printable
from llmrank.report.lesson import race
from pages.shared.app import assets, jobs, panels, resources, session
from pages.shared.app.escape import plain
from pages.shared.app.lasting import lasting

KEY = "lesson"
KIND = "race"
N_STEPS = 10
SURFER, WHY_CUT = 8, 9
MAX_WALKED = 200_000
DEFAULT = tuple(float(w) for m in lesson.WEIGHTS for row in m for w in row)
SLIDERS = {o.name: o for o in options(LessonSpec)}


@dataclass(frozen=True)
class Place:
    """Where a visitor is in the lesson, and with which network."""

    step: int = 0
    moment: int = 0
    settings: LessonSpec = LessonSpec()  # noqa: RUF009
    numbers: tuple[float, ...] = DEFAULT
    node: tuple[int, int] = (1, 0)
    guesses: dict[int, str] = field(default_factory=dict)
    walked: int = 0
    presenter: bool = False

    @property
    def network(self) -> Network:
        """The network that the weights make."""
        return lesson.network(self.numbers)


@lasting
def component() -> Callable[..., Any]:
    """Register the lesson, once; it wears the canvas' style."""
    css = assets.text("explorer/explorer.css") + assets.text("lesson/lesson.css")
    return st.components.v2.component(
        "llmrank_lesson",
        html=assets.text("lesson/lesson.html"),
        css=css,
        js=assets.module("lesson/lesson.js"),
    )


def mount(place: Place) -> None:
    """Draw the lesson where the visitor is."""
    state = st.session_state.get(KEY) or {}
    serial = (state.get("commit") or {}).get("serial", 0)
    component()(
        key=KEY,
        data={
            "serial": serial,
            "state": _sent(place),
            "names": lesson.NODES,
            "layers": lesson.LAYERS,
            "examples": lesson.EXAMPLES,
            "defaults": {n: o.default for n, o in SLIDERS.items()}
            | {"numbers": DEFAULT},
            "networkx": _referee(place) if place.step == SURFER else None,
            "fastest": _fastest(place),
        },
        on_commit_change=take,
    )


def place() -> tuple[Place, list[str]]:
    """Return where the link says the visitor is, and what of it cannot be."""
    wrong: list[str] = []

    def read(name: str, parse: Callable[[str], Any], default: Any) -> Any:
        text = session.views().get(f"{KEY}.{name}")
        if text is None:
            return default
        try:
            return parse(text)
        except LLMRankError as error:
            wrong.append(f"The link's {error}; using the lesson's own.")
        except ValueError:
            wrong.append(f"The link's {name} {text[:40]!r} cannot be read; ignored.")
        return default

    usual = Place()
    sliders = {n: read(n, o.parse, o.default) for n, o in SLIDERS.items()}
    chosen = Place(
        step=read("step", lambda t: _within(t, 1, N_STEPS) - 1, usual.step),
        moment=read("moment", lambda t: _within(t, 0, 3), usual.moment),
        settings=LessonSpec(**sliders),
        numbers=read("weights", _numbers, usual.numbers),
        node=read("node", _node, usual.node),
        guesses=read("guesses", _guesses, usual.guesses),
        walked=read("walked", lambda t: _within(t, 0, MAX_WALKED), usual.walked),
        presenter=session.views().get(f"{KEY}.presenter") == "on",
    )
    return chosen, wrong


def take() -> None:
    """Take a commit of the lesson into the session and the link.

    What the page's own lesson could not have sent is let go.
    """
    given = ((st.session_state.get(KEY) or {}).get("commit") or {}).get("state") or {}
    with suppress(TypeError, ValueError, AttributeError):
        _note(given)


def turned() -> bool:
    """Whether presenting has just begun or ended: the page around changes too."""
    return bool(st.session_state.pop(f"{KEY}_turned", False))


def show_race(place: Place) -> None:
    """Time the three ways to prune in front of the class, and show the clock."""
    spec = RaceSpec(sparsity=place.settings.sparsity)
    known = resources.races().peek(spec)
    with st.container(horizontal=True, vertical_alignment="center"):
        label = "Time them again" if known else "Time them"
        busy = jobs.active(KIND) or not place.settings.sparsity
        if st.button(label, type="primary", disabled=busy, key="race"):
            start(spec)
        if not place.settings.sparsity:
            st.caption("Nothing is pruned yet: choose a share above 0 to time it.")
        elif known is None and not jobs.active(KIND):
            st.caption(
                f"Runs a layer of {spec.d_model:,} → {spec.d_ff:,} → {spec.d_model:,} "
                f"with {spec.rows} examples in turns, {spec.rounds} times each: a few "
                "seconds on this server's processor."
            )
    if known is not None:
        panels.chart(
            race.race_chart(known, dark=panels.is_dark()),
            race.reading(known),
            lambda: race.race_table(known),
            key="race_chart",
        )
        st.caption(plain(race.origin(known)))


def start(spec: RaceSpec) -> None:
    """Take the times in the worker."""
    kept = resources.races()

    def work(job: Job) -> Race:
        raced = timing.race(spec, progress=job.progress)
        kept.put(spec, raced)
        return raced

    jobs.start(KIND, "Timing zeros against cuts", work, key=spec)


def handout(place: Place) -> None:
    """Offer the lesson on paper, with the visitor's own network and numbers."""
    known = resources.races().peek(RaceSpec(sparsity=place.settings.sparsity))
    with st.container(horizontal=True, horizontal_alignment="right"):
        st.download_button(
            "Handout (HTML)",
            lambda: printable.handout(place.network, place.settings, known),
            "llm-rank-lesson.html",
            "text/html",
            on_click="ignore",
            icon=":material/print:",
            help="The whole lesson with your network and its numbers on a few pages; "
            "opens in any browser without a network, and prints",
        )


def _note(given: dict[str, Any]) -> None:
    note = {
        "step": str(int(given.get("step", 0)) + 1),
        "moment": str(given.get("moment", 0)),
        "weights": "_".join(f"{w:g}" for w in given.get("numbers", DEFAULT)),
        "node": "-".join(str(n) for n in given.get("node", (1, 0))),
        "guesses": "_".join(f"{k}:{v}" for k, v in given.get("guesses", {}).items()),
        "walked": str(given.get("walked", 0)),
        "presenter": "on" if given.get("presenter") else "off",
    } | {name: f"{given.get(name, o.default):g}" for name, o in SLIDERS.items()}
    before = session.views().get(f"{KEY}.presenter", "off")
    for name, text in note.items():
        session.view(f"{KEY}.{name}", None if text == _usual(name) else text)
    st.session_state[f"{KEY}_turned"] = before != note["presenter"]


def _sent(place: Place) -> dict[str, Any]:
    return {
        "step": place.step,
        "moment": place.moment,
        "theta": place.settings.theta,
        "gamma": place.settings.gamma,
        "sparsity": place.settings.sparsity,
        "numbers": place.numbers,
        "node": place.node,
        "guesses": place.guesses,
        "walked": place.walked,
        "presenter": place.presenter,
    }


def _referee(place: Place) -> dict[str, Any]:
    """Ask networkx for these settings, which `of` names as the browser does."""
    theta, gamma = place.settings.theta, place.settings.gamma
    asked = {"theta": theta, "gamma": gamma, "numbers": place.numbers}
    try:
        ranks = referee(place.network, theta=theta, gamma=gamma)
    except LLMRankError as error:
        return asked | {"scores": None, "said": str(error)}
    return asked | {"scores": [layer.tolist() for layer in ranks], "said": ""}


def _fastest(place: Place) -> str | None:
    known = resources.races().peek(RaceSpec(sparsity=place.settings.sparsity))
    return None if known is None else timing.fastest(known)


def _usual(name: str) -> str:
    usual = {
        "step": "1",
        "moment": "0",
        "weights": "_".join(f"{w:g}" for w in DEFAULT),
        "node": "1-0",
        "guesses": "",
        "walked": "0",
        "presenter": "off",
    }
    return f"{SLIDERS[name].default:g}" if name in SLIDERS else usual[name]


def _within(text: str, low: int, high: int) -> int:
    if not text.isdecimal() or not low <= int(text[:9]) <= high:
        raise ValueError
    return int(text)


def _numbers(text: str) -> tuple[float, ...]:
    numbers = tuple(float(part) for part in text.split("_")[:100])
    lesson.network(numbers)  # refuses what cannot be
    return numbers


def _node(text: str) -> tuple[int, int]:
    layer, _, i = text.partition("-")
    at = _within(layer, 0, len(lesson.SIZES) - 1)
    return at, _within(i, 0, lesson.SIZES[at] - 1)


def _guesses(text: str) -> dict[int, str]:
    guesses = {}
    for part in text.split("_"):
        step, _, guess = part.partition(":")
        if not re.fullmatch(r"[A-Za-z0-9-]{1,12}", guess):
            raise ValueError
        guesses[_within(step, 0, N_STEPS - 1)] = guess
    return guesses
