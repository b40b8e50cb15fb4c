"""Specs as widgets: one control per declared setting, drawn in the sidebar."""

from collections.abc import Collection
from typing import Any

import streamlit as st

from llmrank.core.specs import Option, options
from llmrank.data import texts
from llmrank.data.tasks import TASKS
from llmrank.experiments.settings import PRESETS, chosen, declared
from llmrank.methods.allocation import ByHand
from llmrank.methods.criteria import LLMRank
from llmrank.methods.method import PARTS
from pages.shared.app import controls, session
from pages.shared.app.escape import plain
from pages.shared.app.uploads import named, uploader


def sidebar(without: Collection[str] = ()) -> None:
    """Draw the experiment's settings, but those that the page itself sets.

    The frame has drawn the heading of the first group.
    """
    with st.sidebar:
        _setting("model")
        with st.expander("Precision, device and tokens"):
            for name in ("dtype", "device", "revision", "bos", "control_tokens"):
                _setting(name)
        st.subheader("Method")
        _presets()
        # what a page moves of the method itself is llm-rank's alone
        ranked = PARTS["criterion"][session.value("criterion")] is LLMRank
        _part("criterion", without if ranked else ())
        if PARTS["allocation"][session.value("allocation")] is ByHand:
            st.caption("How much is removed follows from the widths you give.")
        elif "sparsity" not in without:
            _setting("sparsity")
        for part in PARTS:
            if part != "criterion":
                _part(part, without)
        if "multiple_of" not in without:
            _setting("multiple_of")
        _texts()
        _measures()


def _presets() -> None:
    """Offer whole methods, each one click away."""
    with st.container(horizontal=True, gap="small"):
        for label, (wanted, why) in PRESETS.items():
            st.button(
                label, key=f"preset_{label}", on_click=_take_preset, args=(wanted,),
                help=why, type="tertiary",
            )  # fmt: skip


def _take_preset(wanted: dict[str, Any]) -> None:
    own = [o.name for kind in chosen(wanted).values() for o in options(kind)]
    for name in (*PARTS, *own):
        session.take(name, wanted.get(name, declared()[name].default))


def _part(name: str, without: Collection[str]) -> None:
    """Draw the choice of a part of the method, what it does, and its parameters."""
    if name not in without:
        _setting(name)
    kind = PARTS[name][session.value(name)]
    st.caption((kind.__doc__ or "").strip().splitlines()[0])
    for o in options(kind):
        if o.name.endswith("_text"):
            _text(o.name, controls.label(o.name))
        elif o.name not in ("seed", *without):
            _setting(o.name)


def _texts() -> None:
    with st.sidebar.expander("Texts"):
        _text("calibration_text", "Calibration text")
        for name in ("samples", "seq_len", "seed"):
            _setting(name)
        _text("eval_text", "Evaluation text")
        _setting("eval_tokens")


def _measures() -> None:
    with st.sidebar.expander("Tasks and timing"):
        named = (t.strip() for t in session.value("tasks").split(","))
        asked = [t for t in named if t in TASKS]
        if session.value("tasks").strip() == "all":
            asked = list(TASKS)
        new = st.multiselect(
            "Zero-shot tasks", list(TASKS), asked, help=declared()["tasks"].help
        )
        session.choose("tasks", ",".join(new))
        for name in ("items", "batch", "prompt_tokens", "new_tokens", "repeats"):
            _setting(name)


def _setting(name: str) -> None:
    o, value, key = declared()[name], session.value(name), session.control(name)
    if name == "sparsity":
        session.choose(name, _sparsity(o, value, key))
        return
    form = "field" if o.kind is int else None
    words = controls.label(name)
    session.choose(name, controls.control(o, words, value, key=key, form=form))


def _sparsity(o: Option, value: float, key: str) -> float:
    """Draw it in per cent."""
    shown = round(100 * value, 1)
    percent = st.slider(
        "Sparsity", 0.0, max(95.0, shown), shown, 1.0, "%g %%", help=o.help, key=key
    )
    return value if percent == shown else round(percent / 100, 4)


def _text(name: str, label: str) -> None:
    """Offer the embedded text or an upload, kept for this visitor."""
    brought = uploader(
        label, ["txt", "md"], key=session.control(name), help=declared()[name].help,
        keep=texts.keep,
    )  # fmt: skip
    if brought is not None:
        session.choose(name, brought)
    source, usual = session.value(name), declared()[name].default
    if source != usual:
        st.caption(f"Using {plain(named(source), limit=200)}")
        st.button(
            "Use the embedded text", key=f"reset_{name}", on_click=session.take,
            args=(name, usual),
        )  # fmt: skip
