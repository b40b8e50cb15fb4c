"""Who is here: a visitor is a browser tab's session; what is its own goes with it."""

import hashlib
import logging
import re
import secrets
import threading
import time
from collections.abc import Callable
from typing import Any

import streamlit as st
from streamlit import runtime
from streamlit.runtime.scriptrunner import get_script_run_ctx

from pages.shared.app import assets
from pages.shared.app.lasting import lasting

GRACE_S = 130.0
"""How long a lost connection may come back: a look longer than Streamlit keeps its
session (120 s), so that who comes back into it has not lost what is held for it."""

LOOK_S = 5.0
"""How often it is looked who has gone."""

COOKIE = "llmrank_browser"
_ENTRY, _BROWSER = "visitor", "browser_token"
_log = logging.getLogger(__name__)


class Visitors:
    """The sessions that are here, and what is to be done when each of them ends.

    A session without a connection has gone once `GRACE_S` have passed.
    """

    def __init__(
        self,
        connected: Callable[[str], bool],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._connected = connected
        self._clock = clock
        self._lock = threading.Lock()
        self._sessions: dict[str, str] = {}
        self._seen_s: dict[str, float] = {}
        self._endings: dict[str, list[Callable[[], None]]] = {}

    def arrive(self, visitor: str, session: str) -> None:
        """Note that a visitor's page runs in a session."""
        with self._lock:
            self._sessions[visitor] = session
            self._seen_s[visitor] = self._clock()

    def alive(self, visitor: str) -> bool:
        """Whether the visitor is here, or may still come back."""
        return visitor in self._sessions

    def on_end(self, visitor: str, callback: Callable[[], None]) -> None:
        """Call back once when the visitor has gone, in another thread; now if it has.

        The same callback is kept once.
        """
        with self._lock:
            if visitor in self._sessions:
                kept = self._endings.setdefault(visitor, [])
                if callback not in kept:
                    kept.append(callback)
                return
        callback()

    def look(self) -> None:
        """Look who has gone, and do what was to be done then."""
        with self._lock:
            now = self._clock()
            for visitor, session in self._sessions.items():
                if self._connected(session):
                    self._seen_s[visitor] = now
            gone = [v for v, seen_s in self._seen_s.items() if now - seen_s > GRACE_S]
            endings = [c for v in gone for c in self._endings.pop(v, [])]
            for visitor in gone:
                del self._sessions[visitor], self._seen_s[visitor]
        for callback in endings:
            try:
                callback()
            except Exception:  # the next visitor's must be called too
                _log.exception("what a visitor's end asks for failed")

    def watch(self) -> None:
        """Look again and again, in a thread of its own."""

        def again() -> None:
            while True:
                time.sleep(LOOK_S)
                self.look()

        threading.Thread(target=again, name="llmrank-visitors", daemon=True).start()


def visitor_id() -> str:
    """Return who this visitor is: a random name of the session, told to nobody."""
    own: str = st.session_state.setdefault(_ENTRY, secrets.token_urlsafe(16))
    context = get_script_run_ctx()
    visitors().arrive(own, context.session_id if context else "")
    return own


def owner() -> str:
    """Return whose jobs and uploads a session's are: those of its browser.

    A reload starts a new session; the cookie lets it still stop its own job.
    """
    return hashlib.sha256(_token().encode()).hexdigest()


def mark_browser() -> None:
    """Leave the cookie where there is none, and follow the theme; draws nothing."""
    data = {"cookie": COOKIE, "token": _token()}
    marker()(key="browser_mark", data=data, on_theme_change=lambda: None)


@lasting
def marker() -> Callable[..., Any]:
    """Register the component that sets the cookie and hears of the theme, once."""
    new = st.components.v2.component
    return new("llmrank_browser", js=assets.module("common/browser.js"))


def _token() -> str:
    new: str = _cookie() or secrets.token_urlsafe(16)
    return st.session_state.setdefault(_BROWSER, new)


def _cookie() -> str | None:
    given = st.context.cookies.get(COOKIE)  # a test without a browser has no text
    is_ours = isinstance(given, str) and re.fullmatch(r"[A-Za-z0-9_-]{22}", given)
    return given if is_ours else None


def alive(visitor: str) -> bool:
    """Whether a visitor's session is here, or may still come back."""
    return visitors().alive(visitor)


def on_end(visitor: str, callback: Callable[[], None]) -> None:
    """Call back once when a visitor's session has ended, in another thread."""
    visitors().on_end(visitor, callback)


@lasting
def visitors() -> Visitors:
    """Everybody who is here."""
    made = Visitors(_connected)
    made.watch()
    return made


def _connected(session: str) -> bool:
    """Whether a browser holds the session; without a server everybody stays."""
    return not runtime.exists() or runtime.get_instance().is_active_session(session)
