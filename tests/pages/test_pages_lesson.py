"""The Lesson page: what it hands to the lesson, and what it takes from it."""

import json

import pytest
from streamlit.testing.v1 import AppTest
from visitor import finish, open_page

from llmrank.lesson import network as lesson
from llmrank.lesson.race import VERSIONS
from pages.shared.lesson.place import DEFAULT, Place

pytestmark = pytest.mark.slow  # together ten seconds

PAGE = "pages/lesson.py"


def given(at: AppTest) -> dict:
    """What the lesson was handed."""
    drawn = [e.proto for e in at.get("bidi_component")]
    (found,) = [p for p in drawn if p.component_name == "llmrank_lesson"]
    return json.loads(found.json)


def opened(*views: str) -> AppTest:
    return open_page(PAGE, view=",".join(f"lesson.{view}" for view in views))


def test_the_first_visit_begins_at_the_first_step():
    at = opened()
    assert not at.exception
    assert not at.warning
    found = given(at)
    assert found["state"]["step"] == 0
    assert found["state"]["numbers"] == list(DEFAULT)
    assert found["names"] == [list(names) for names in lesson.NODES]
    assert found["networkx"] is None
    assert [b.label for b in at.get("download_button")] == ["Handout (HTML)"]


def test_a_link_opens_its_step_and_networkx_answers():
    at = opened("step.9", "theta.0.25", "walked.700", "guesses.8:B1", "node.2-1")
    state = given(at)["state"]
    assert (state["step"], state["walked"], state["node"]) == (8, 700, [2, 1])
    assert state["guesses"] == {"8": "B1"}
    own = lesson.scores(Place().network, theta=0.25, gamma=0.5)
    for ours, theirs in zip(own, given(at)["networkx"]["scores"], strict=True):
        assert theirs == pytest.approx(ours.tolist(), abs=1e-9)


def test_what_a_link_cannot_ask_for_is_said():
    at = opened("step.11", "weights.1_nan", "gamma.2", "guesses.4:<b>", "node.9-9")
    assert not at.exception
    said = " ".join(w.value for w in at.warning)
    for name in ("step", "guesses", "node", "gamma must lie in", "30 weights"):
        assert name in said.replace("\\", "")
    assert given(at)["state"]["numbers"] == list(DEFAULT)


@pytest.mark.parametrize(
    "state", [{"step": "x"}, {"numbers": [None] * 30}, {"guesses": 3}]
)
def test_a_commit_that_the_lesson_cannot_send_changes_nothing(state):
    at = opened("step.3")
    at.session_state["lesson"] = {"commit": {"serial": 1, "state": state}}
    at.run()
    assert not at.exception


def test_the_race_runs_as_a_job_and_is_shown():
    at = opened("step.10", "sparsity.0.25")
    (button,) = [b for b in at.main.button if b.key == "race"]
    assert button.label == "Time them"
    at = finish(button.click().run(), "race", state="done")
    assert not at.exception
    assert any("With 25 % gone" in m.value for m in at.main.markdown)
    assert any("rounds in turns" in c.value for c in at.main.caption)
    found = given(at)["race"]
    assert set(found["faster"]) <= set(VERSIONS[1:])
    assert all(ratio > 0 for ratio in found["ratios"])
    assert len(found["ratios"]) == 3


def test_nothing_pruned_is_not_timed():
    at = opened("step.10", "sparsity.0")
    (button,) = [b for b in at.main.button if b.key == "race"]
    assert button.disabled
    assert any("Nothing is pruned yet" in c.value for c in at.main.caption)


def test_presenting_hides_links_and_handout():
    at = opened("presenter.on")
    assert not at.exception
    assert not at.get("page_link")
    assert not at.get("download_button")
    assert not at.header
