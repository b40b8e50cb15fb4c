"""The session's settings: plain names and values, started from the link."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import streamlit as st

from llmrank.core.errors import LLMRankError
from llmrank.core.specs import options
from llmrank.data import texts
from llmrank.evaluation.accuracy import TaskSpec
from llmrank.experiments.experiment import Experiment
from llmrank.experiments.settings import applicable, declared, experiment, settings
from llmrank.experiments.settings import chosen as parts
from llmrank.methods.method import PARTS, Method

LINK_EXTRAS = ("jobs", "view")
"""Parameters of a link that are no settings."""

_ENTRY = "settings"
_VIEW = "view"
_COMPLAINTS = "link_complaints"
_ADOPTED = "adopted"
_ASIDE = "set_aside"


def chosen() -> dict[str, Any]:
    """Return the session's settings; the first call reads them from the link."""
    if _ENTRY not in st.session_state:
        st.session_state[_ENTRY] = _from_link()
    return st.session_state[_ENTRY]


def choose(name: str, value: Any) -> None:
    """Set one setting; a criterion's parameters stay when another is tried."""
    chosen()[name] = value


def take(name: str, value: Any) -> None:
    """Set a setting from elsewhere than its control, which follows; a callback."""
    choose(name, value)
    _renew()


def adopt(experiment: Experiment) -> None:
    """Take another experiment in hand; every control starts anew from its settings."""
    st.session_state[_ENTRY] = settings(experiment)
    _renew()


def take_method(wanted: Mapping[str, Any]) -> None:
    """Take a whole method, named by its settings; what they leave out is as usual."""
    own = [o.name for kind in parts(wanted).values() for o in options(kind)]
    for name in (*PARTS, *own):
        choose(name, wanted.get(name, declared()[name].default))
    _renew()


def adopt_method(method: Method, sparsity: float) -> None:
    """Take a method and a sparsity; the model and the texts stay."""
    experiment = replace(current(), method=method).at(sparsity)
    adopt(experiment)


def set_aside(before: Experiment) -> None:
    """Remember what was in hand before what is now was put in its place."""
    st.session_state[_ASIDE] = before, current()


def aside() -> Experiment | None:
    """Return what was set aside, as long as nothing else was changed since."""
    before, then = st.session_state.get(_ASIDE, (None, None))
    return before if before != then == current() else None


def _renew() -> None:
    """A browser keeps what a control shows under its key: give the controls others."""
    st.session_state[_ADOPTED] = st.session_state.get(_ADOPTED, 0) + 1


def control(name: str) -> str:
    """Return the key of a setting's control, another one after each adoption."""
    generation = st.session_state.get(_ADOPTED, 0)
    return f"control_{name}_{generation}" if generation else f"control_{name}"


def current() -> Experiment:
    """Build the experiment in hand."""
    return experiment(applicable(chosen()))


def complaints() -> list[str]:
    """Return what the link asked for that cannot be, until a setting is touched."""
    said, of_link = st.session_state.get(_COMPLAINTS, ([], {}))
    return said if settings(current()) == of_link else []


def write_link(experiment: Experiment, **more: str) -> None:
    """Put the experiment into the address, so that a reload reopens it."""
    wanted = {n: str(v) for n, v in settings(experiment).items()} | more | _view_link()
    if wanted != st.query_params.to_dict():
        st.query_params.from_dict(wanted)


def _from_link() -> dict[str, Any]:
    """Take what is valid; the rest keeps its default and is complained about."""
    known, given, wrong = declared(), {}, []
    for name, text in st.query_params.to_dict().items():
        if name not in known:
            if name not in LINK_EXTRAS:
                wrong.append(f"The link's setting {name[:60]!r} is unknown; ignored.")
            continue
        try:
            value = known[name].parse(text)
            if name.endswith("_text"):
                _check_open(name, value)
            if name == "tasks":
                _ = TaskSpec(tasks=value).names  # refuses what is no task
            given[name] = value
        except LLMRankError as error:
            default = known[name].default
            wrong.append(f"The link's {error}; using {default!r}.")
    st.session_state[_COMPLAINTS] = (wrong, settings(experiment(applicable(given))))
    return given


def _check_open(name: str, source: str) -> None:
    try:
        texts.check(source)
    except LLMRankError as error:
        raise LLMRankError(f"{name} cannot be opened: {error}") from error


def value(name: str) -> Any:
    """Return a setting: the session's, or its default."""
    return chosen().get(name, declared()[name].default)


def views() -> dict[str, str]:
    """Return what pages show apart from the experiment: page.choice → text."""
    if _VIEW not in st.session_state:
        named = st.query_params.get(_VIEW, "").split(",")[:32]
        parts = [part.split(".", 2) for part in named]
        values = {f"{p[0]}.{p[1]}": p[2] for p in parts if len(p) == 3}
        st.session_state[_VIEW] = values
    return st.session_state[_VIEW]


def view(name: str, text: str | None) -> None:
    """Remember, also in the link, what a page shows; None means its default."""
    before = _view_link()
    if text is None:
        views().pop(name, None)
    else:
        views()[name] = text
    after = _view_link()
    if before and not after:
        del st.query_params[_VIEW]
    elif after != before:
        st.query_params.update(after)


def _view_link() -> dict[str, str]:
    named = [f"{name}.{text}" for name, text in views().items()]
    return {_VIEW: ",".join(named)} if named else {}
