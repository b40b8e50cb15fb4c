"""Results that show themselves in a notebook."""

from importlib import import_module

DRAWN_IN = "llmrank.report.notebook"
"""Where their HTML is made: asked for by a notebook alone, and imported by nobody."""


class Shown:
    """A result that a notebook shows with the numbers of the app's pages."""

    def _repr_html_(self) -> str:
        return str(import_module(DRAWN_IN).html(self))
