"""What a folder hands on, imported on first use: torch takes seconds."""

from collections.abc import Callable
from importlib import import_module
from typing import Any


def handed_on(package: str, **homes: str) -> tuple[Callable[[str], Any], list[str]]:
    """Return a package's `__getattr__` and `__all__`.

    Each module is told with the public names that it defines, blanks between.
    """
    home_of = {
        name: module for module, names in homes.items() for name in names.split()
    }

    def get(name: str) -> Any:
        if name not in home_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(f"{package}.{home_of[name]}"), name)

    return get, sorted(home_of)
