"""What others took of the processor: pretended readings, and a load made on purpose."""

import subprocess
import sys
import threading
import time
from itertools import pairwise

import pytest
import torch

from llmrank.evaluation import other_load
from llmrank.evaluation.other_load import Load, now, watched

SPIN = "while True: pass"


def a_load(wall_s, **used):
    return Load(float(wall_s), **{name: float(s) for name, s in used.items()})


@pytest.fixture(autouse=True)
def two_cores(monkeypatch):
    monkeypatch.setattr(other_load, "n_cores", lambda: 2)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)


@pytest.mark.parametrize(
    ("load", "others"),
    [
        (a_load(10, busy_s=18, own_s=18, thread_s=9), 0.0),
        (a_load(10, busy_s=19, own_s=16, thread_s=9), 0.15),
        (
            a_load(10, busy_s=14, own_s=14, thread_s=4),
            0.3,
        ),  # 6 s are no helpers of ours
        (a_load(10, busy_s=14, own_s=14, thread_s=7, python_s=4), 0.2),
        (
            a_load(10, busy_s=17.9, own_s=18, thread_s=9),
            0.0,
        ),  # two clocks differ a little
        (a_load(10, busy_s=0, own_s=18, thread_s=9), None),  # the system counts nothing
        (a_load(0.001, busy_s=0.01, own_s=0.001), None),
        (Load(), None),
    ],
)
def test_the_share_of_others_by_hand(load, others):
    assert load.others == pytest.approx(others)


@pytest.mark.parametrize(
    ("load", "disturbed"),
    [
        (a_load(10, busy_s=18.1, own_s=16, thread_s=9), True),
        (a_load(10, busy_s=17.9, own_s=16, thread_s=9), False),
        # a tenth of a second knows its clocks to a fifth
        (a_load(0.1, busy_s=0.15, own_s=0.1, thread_s=0.1), False),
        (a_load(0.1, busy_s=0.2, own_s=0.1, thread_s=0.1), True),
        (a_load(10, busy_s=0, own_s=16, thread_s=9), False),
    ],
)
def test_more_than_a_tenth_disturbs(load, disturbed):
    assert load.is_disturbed is disturbed


def test_loads_add_up_and_only_the_steps_count(monkeypatch):
    readings = iter(Load(*(float(n),) * 5) for n in (1, 2, 7, 9))
    monkeypatch.setattr(other_load, "now", lambda: next(readings, Load()))
    loads = []
    assert list(watched(iter("ab"), loads)) == ["a", "b"]
    assert loads == [Load(*(1.0,) * 5), Load(*(2.0,) * 5)]
    assert sum(loads, Load()).wall_s == 3


def test_a_process_that_spins_is_seen(monkeypatch):
    monkeypatch.undo()
    with subprocess.Popen([sys.executable, "-c", SPIN]) as child:
        try:
            time.sleep(0.3)
            start = now()
            time.sleep(1)
            load = now() - start
        finally:
            child.kill()
    used = (load.others or 0.0) * other_load.n_cores()
    assert used > 0.3, f"of a core, though a child spins: {load}"


def test_what_the_timed_thread_does_is_not_others(monkeypatch):
    monkeypatch.undo()
    start, until = now(), time.perf_counter() + 0.3
    while time.perf_counter() < until:
        pass
    load = now() - start
    assert 0 < load.thread_s == pytest.approx(load.own_s, abs=0.05)
    assert load.python_s < load.thread_s


def test_another_thread_of_this_process_is_seen(monkeypatch):
    monkeypatch.undo()
    ends = threading.Event()

    def spin():
        while not ends.is_set():
            pass

    thread = threading.Thread(target=spin)
    thread.start()
    try:
        start = now()
        time.sleep(0.5)
        load = now() - start
    finally:
        ends.set()
        thread.join()
    assert load.python_s > 0.1
    assert load.thread_s < 0.1


def test_readings_only_grow():
    assert all(
        a.wall_s <= b.wall_s and a.busy_s <= b.busy_s and a.own_s <= b.own_s
        for a, b in pairwise(now() for _ in range(20))
    )
