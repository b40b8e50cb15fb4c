"""One palette: the browser's colours are those of the charts and of the pages."""

import json
import re
import tomllib
from dataclasses import asdict
from pathlib import Path

import pytest
from plotly.colors import get_colorscale

from llmrank.report.charts.theme import DARK, DIFFERENCES, LIGHT, SCORES, palette

ROOT = Path(__file__).parents[2]
ASSETS = ROOT / "assets"
THEME = ASSETS / "common" / "theme.js"
COLOUR = re.compile(r"#[0-9a-f]{3,8}\b|\brgba?\(\s*\d", re.IGNORECASE)
CONTRAST = {"#000", "#fff"}
"""Black and white on a picture: legible on any colour, and of no theme."""


def constant(name):
    """Return what theme.js holds under a name."""
    found = re.search(
        rf"^const {name} = ([\[{{].*?^[\]}}]);", THEME.read_text("utf-8"), re.M | re.S
    )
    quoted = re.sub(r"(\w+):", r'"\1":', found[1])
    return json.loads(re.sub(r",(\s*[\]}])", r"\1", quoted))


@pytest.mark.parametrize(("name", "colours"), [("LIGHT", LIGHT), ("DARK", DARK)])
def test_the_browser_has_the_colours_of_the_charts(name, colours):
    expected = asdict(colours) | {"series": list(colours.series)}
    del expected["text"]  # the page's own, read from its style
    assert constant(name) == expected


@pytest.mark.parametrize("dark", [False, True])
def test_charts_stand_on_the_background_of_the_page(dark):
    themes = tomllib.loads((ROOT / ".streamlit/config.toml").read_text())["theme"]
    page = themes["dark" if dark else "light"]
    assert palette(dark).background == page["backgroundColor"]


def test_the_browser_has_the_maps_of_the_charts():
    assert constant("VIRIDIS") == stops(SCORES)
    assert constant("PUOR") == stops(DIFFERENCES)[::-1]  # purple is lost, orange won


def stops(name):
    colours = [colour for _, colour in get_colorscale(name)]
    return [c if c.startswith("#") else as_hex(c) for c in colours]


def as_hex(colour):
    return "#" + "".join(f"{int(c):02x}" for c in re.findall(r"\d+", colour))


@pytest.mark.parametrize("path", sorted(ASSETS.rglob("*.js")), ids=lambda p: p.stem)
def test_no_other_module_writes_a_colour(path):
    found = set(COLOUR.findall(path.read_text("utf-8")))
    assert path == THEME or found <= CONTRAST


@pytest.mark.parametrize("path", sorted(ASSETS.rglob("*.css")), ids=lambda p: p.stem)
def test_styles_use_colours_of_the_theme(path):
    known = set(COLOUR.findall(THEME.read_text("utf-8")))
    assert set(COLOUR.findall(path.read_text("utf-8"))) <= known | CONTRAST
