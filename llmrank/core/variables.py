"""What environment variables say: one that is empty says nothing, `0` says no."""

import os

OFF = ("0", "false", "no", "off")


def variable(name: str) -> str | None:
    """Return what a variable holds; one that is empty is not set."""
    return os.environ.get(name, "").strip() or None


def is_on(name: str) -> bool:
    """Whether a switch is on: set, and not to 0, false, no or off."""
    told = variable(name)
    return told is not None and told.lower() not in OFF
