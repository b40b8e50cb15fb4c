"""Who is here, and what happens when somebody has gone."""

import inspect
import threading

import pytest
import streamlit as st
from streamlit.runtime.memory_session_storage import MemorySessionStorage
from visitor import open_page

from pages.shared.app import resources, visitors
from pages.shared.app.lasting import lasting
from pages.shared.app.visitors import GRACE_S, LOOK_S, Visitors


@pytest.fixture
def hall():
    """Return the visitors, which sessions are connected, and a clock to set."""
    connected, now = {"s1", "s2"}, [0.0]
    visitors = Visitors(connected.__contains__, clock=lambda: now[0])
    visitors.arrive("a", "s1")
    visitors.arrive("b", "s2")
    return visitors, connected, now


def test_a_visitor_has_gone_when_the_connection_stays_away(hall):
    visitors, connected, now = hall
    ended = []
    visitors.on_end("a", lambda: ended.append("a"))
    visitors.on_end("b", lambda: ended.append("b"))
    connected.discard("s1")
    now[0] = GRACE_S / 2
    visitors.look()
    assert visitors.alive("a")
    now[0] = GRACE_S + 1
    visitors.look()
    visitors.look()
    assert ended == ["a"]
    assert not visitors.alive("a")
    assert visitors.alive("b")


def test_a_connection_that_comes_back_in_time_ends_nothing(hall):
    visitors, connected, now = hall
    visitors.on_end("a", lambda: pytest.fail("the visitor is here"))
    connected.discard("s1")
    now[0] = GRACE_S - 1
    visitors.look()
    connected.add("s1")
    now[0] = GRACE_S + 1
    visitors.look()
    now[0] = 2 * GRACE_S
    visitors.look()
    assert visitors.alive("a")


def test_nobody_has_gone_while_streamlit_would_bring_the_session_back():
    kept = inspect.signature(MemorySessionStorage).parameters["ttl_seconds"].default
    assert kept + LOOK_S < GRACE_S


def test_an_ending_that_fails_keeps_no_other_from_being_called(hall, caplog):
    visitors, connected, now = hall
    ended = []
    visitors.on_end("a", lambda: 1 / 0)
    visitors.on_end("b", lambda: ended.append("b"))
    connected.clear()
    now[0] = GRACE_S + 1
    visitors.look()
    assert ended == ["b"]
    assert "ZeroDivisionError" in caplog.text


def test_who_has_gone_already_is_called_back_at_once(hall):
    ended = []
    hall[0].on_end("nobody", lambda: ended.append("now"))
    assert ended == ["now"]


def test_two_visitors_of_the_app_are_told_apart():
    first, second = (open_page("pages/lesson.py") for _ in range(2))
    names = {at.session_state["visitor"] for at in (first, second)}
    assert len(names) == 2
    assert first.run().session_state["visitor"] in names


KEPT = ("pipeline", "worker", "reports", "speeds", "shapes", "races", "parts",
        "entries", "unkept")  # fmt: skip


def test_no_visitor_can_make_the_server_forget_what_all_share():
    """Streamlit's page may send a message that clears its memory for everybody."""
    before = {name: getattr(resources, name)() for name in KEPT}
    hall, lab = visitors.visitors(), resources.lab("data")
    st.cache_resource.clear()
    assert {name: getattr(resources, name)() for name in KEPT} == before
    assert visitors.visitors() is hall
    assert resources.lab("data") is lab
    assert resources.lab("network") is not lab


def test_what_lasts_is_made_once_however_many_ask_at_a_time():
    made, gate = [], threading.Barrier(4)

    @lasting
    def slow():
        made.append(threading.Event().wait(0.05))
        return object()

    def ask(found):
        gate.wait()
        found.append(slow())

    found: list = []
    threads = [threading.Thread(target=ask, args=(found,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(map(id, found))) == 1
    assert len(made) == 1
