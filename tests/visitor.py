"""What a visitor does on any page: open it by its link, wait, have the model read."""

import re
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from pages.shared.app import resources, visitors

APP = Path(__file__).parents[1] / "app.py"


def open_page(page: str, **asked: object) -> AppTest:
    """Open a page by its link, as the first of all."""
    at = AppTest.from_file(str(APP), default_timeout=60)
    if page != APP.name:
        at.switch_page(page)
    for name, value in asked.items():
        at.query_params[name] = str(value)
    return at.run()


def finish(at: AppTest, kind: str, *, state: str | None = None) -> AppTest:
    """Wait for the page's job of a kind, then run the page as its fragment would."""
    job_id = at.session_state["jobs"][kind]
    for _ in range(600):
        seen = resources.worker().snapshot(job_id)
        if seen.finished:
            assert state in (seen.state, None), seen.error
            return at.run()
        time.sleep(0.1)
    raise AssertionError(f"still running: {seen}")


def read(at: AppTest) -> AppTest:
    """Have the model read as the page's one button does, unless it has been."""
    buttons = [b for b in at.main.button if b.key == "read"]
    return finish(buttons[0].click().run(), "read") if buttons else at


def close(at: AppTest) -> None:
    """Close the page's tab, and let the time pass in which it may come back."""
    hall, gone = visitors.visitors(), at.session_state["visitor"]
    late = hall._clock() + visitors.GRACE_S + 1
    with pytest.MonkeyPatch.context() as closed:
        hall._seen_s.update(dict.fromkeys(hall._seen_s, late) | {gone: 0.0})
        closed.setattr(hall, "_connected", lambda _: False)
        closed.setattr(hall, "_clock", lambda: late)
        hall.look()
    assert not visitors.alive(gone)


def buttons(at: AppTest) -> list[str]:
    """Return what the page's own buttons say: the experiment bar's are everywhere."""
    bar = ("preset_", "measure_bar", "measure_stop", "reset_")
    return [b.label for b in at.main.button if not (b.key or "").startswith(bar)]


def listed(at: AppTest) -> dict[str, tuple[str, str]]:
    """Return the numbers that stand in lists by their names: value, change."""
    shown = [m.value for m in at.main.markdown]
    names = [re.fullmatch(r":gray\[(.*)\]", text) for text in shown]
    values = [re.match(r"\*\*(.*?)\*\*(?: :small\[:gray\[(.*)\]\])?", t) for t in shown]
    return {
        name[1]: (value[1], value[2])
        for name, value in zip(names, values[1:], strict=False)
        if name and value
    }


def said(at: AppTest) -> str:
    """Return what the page says in markdown."""
    return "\n".join(m.value for m in at.main.markdown)


def copy_results(source: Path, target: Path) -> None:
    """Fill a new database with what another holds, however it is being used."""
    with (
        closing(sqlite3.connect(source)) as old,
        closing(sqlite3.connect(target)) as new,
    ):
        old.backup(new)
