"""The experiment's settings: one control per declared setting, in the bar."""

from collections.abc import Collection

import streamlit as st

from llmrank.core.specs import Option, options
from llmrank.data import texts
from llmrank.data.tasks import TASKS
from llmrank.experiments.expected_steps import TOKENS_PER_S
from llmrank.experiments.settings import PRESETS, declared
from llmrank.methods.allocation import ByHand
from llmrank.methods.criteria import LLMRank
from llmrank.methods.method import PARTS
from llmrank.methods.recovery import Trained
from llmrank.report.sentences.recoveries import budget_sentence, gain_sentence
from pages.shared.app import controls, known, resources, session
from pages.shared.app.escape import plain
from pages.shared.app.uploads import named, uploader


def model_settings() -> None:
    """Draw which model is in hand, and how it is read."""
    _setting("model")
    for name in ("dtype", "device", "revision", "bos", "control_tokens"):
        _setting(name)


def method_settings(without: Collection[str]) -> None:
    """Draw the method's parts and parameters, but those that the page itself sets."""
    _presets()
    # what a page moves of the method itself is llm-rank's alone
    ranked = PARTS["criterion"][session.value("criterion")] is LLMRank
    _part("criterion", without if ranked else ())
    if PARTS["allocation"][session.value("allocation")] is ByHand:
        st.caption("How much is removed follows from the widths you give.")
    for part in PARTS:
        if part != "criterion":
            _part(part, without)
    if "multiple_of" not in without:
        _setting("multiple_of")


def sparsity() -> None:
    """Draw the slider of what is removed."""
    _setting("sparsity")


def measure_settings() -> None:
    """Draw what is read and timed."""
    _texts()
    _measures()


def adopt_controls() -> None:
    """Take what was just set before anything is drawn: labels stand before controls."""
    for name, o in declared().items():
        key = session.control(name)
        if key not in st.session_state or name.endswith("_text"):
            continue  # a file that is brought is taken where it is checked
        given = st.session_state[key]
        if name == "sparsity":
            given = _share(session.value(name), given)
        elif o.kind is str and not o.choices:
            given = given.strip() or o.default
        session.choose(name, given)


def _presets() -> None:
    """Offer whole methods, each one click away."""
    with st.container(horizontal=True, gap="small"):
        for label, (wanted, why) in PRESETS.items():
            st.button(
                label, key=f"preset_{label}", on_click=session.take_method,
                args=(wanted,), help=why, type="tertiary",
            )  # fmt: skip


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
    if issubclass(kind, Trained):
        _training()


def _training() -> None:
    """Say what a recovery's budget buys: tokens and time here, and what it bought."""
    in_hand = session.current()
    pace = resources.pipeline().tokens_per_s(in_hand.model)
    recovery = in_hand.method.recovery
    if not isinstance(recovery, Trained):
        return
    if pace is not None:
        st.caption(budget_sentence(recovery.budget, 1 / pace))
    n_tokens = recovery.budget.expected_tokens(1 / (pace or TOKENS_PER_S))
    pair = known.frontier(in_hand).trained(
        in_hand.method, in_hand.pruning.sparsity, n_tokens
    )
    if pair is not None:
        st.caption(gain_sentence(*pair))


def _texts() -> None:
    _text("calibration_text", "Calibration text")
    for name in ("samples", "seq_len", "seed"):
        _setting(name)
    _text("eval_text", "Evaluation text")
    _setting("eval_tokens")


def _measures() -> None:
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
    high = max(95.0, shown)
    percent = st.slider(
        "Sparsity", 0.0, high, shown, 1.0, "%g %% removed", help=o.help, key=key
    )
    return _share(value, percent)


def _share(value: float, percent: float) -> float:
    """Return what a slider of whole per cents says; a finer value stays."""
    return value if percent == round(100 * value, 1) else round(percent / 100, 4)


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
