"""Named entries: order, unknown names, and names given twice."""

import pytest

from llmrank.core.errors import OptionError
from llmrank.core.registry import Registry


@pytest.fixture
def colours():
    registry = Registry("colour")
    registry.add("red")("#f00")
    registry.add("green")("#0f0")
    return registry


def test_entries_are_found_by_name_and_kept_in_order(colours):
    assert colours["red"] == "#f00"
    assert list(colours) == ["red", "green"]
    assert len(colours) == 2


@pytest.mark.parametrize("name", ["blue", "", "Red", "red "])
def test_an_unknown_name_is_refused_with_those_there_are(colours, name):
    with pytest.raises(OptionError) as caught:
        colours[name]
    expected = f"unknown colour {name!r}; there are: red, green"
    assert str(caught.value) == expected


def test_a_long_unknown_name_is_cut(colours):
    with pytest.raises(OptionError) as caught:
        colours["x" * 5000]
    assert len(str(caught.value)) < 150


def test_registering_hands_the_entry_back(colours):
    @colours.add("blue")
    def blue():
        return "#00f"

    assert blue() == "#00f"
    assert colours["blue"] is blue


def test_a_name_given_twice_is_a_bug(colours):
    with pytest.raises(AssertionError, match="colour 'red' is there already"):
        colours.add("red")("#e00")
    assert colours["red"] == "#f00"
