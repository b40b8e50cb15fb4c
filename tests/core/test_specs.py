"""Declared fields: what is allowed, what is refused and in which words."""

import dataclasses
import math
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmrank.calibration.activations import CalibrationSpec
from llmrank.core.errors import LLMRankError, OptionError
from llmrank.core.specs import Option, described, option, options, spec
from llmrank.evaluation.perplexity import EvaluationSpec
from llmrank.methods.criteria import LLMRank
from llmrank.methods.pruning import PruningSpec


@spec
class Recipe:
    """A spec with every kind of field."""

    share: float = option(default=0.5, low=0, high=1, help="A share")
    count: int = option(default=3, low=1, help="A count")
    flavour: Literal["sweet", "sour"] = option(default="sweet", help="A choice")
    note: str = option(default="", help="A note")
    ratio: float = option(default=1.0, help="Any number")
    hidden: int = 7


def declared(name):
    return next(o for o in options(Recipe) if o.name == name)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (1.0, "1.0"),
        (1, "1"),
        (-0.1, "-0.1"),
        (math.nan, "nan"),
        (math.inf, "inf"),
        (-math.inf, "-inf"),
        (True, "True"),
        (None, "None"),
        ("0.3", "'0.3'"),
        ([0.3], "[0.3]"),
    ],
)
def test_a_sparsity_that_is_none_is_refused_with_the_limits(value, shown):
    with pytest.raises(OptionError) as caught:
        PruningSpec(sparsity=value)
    assert str(caught.value) == f"sparsity must lie in [0, 1), got {shown}"


@pytest.mark.parametrize("name", ["theta", "gamma"])
@pytest.mark.parametrize("value", [-0.01, 1.01, math.nan, math.inf, "0.5", False, 2])
def test_shares_outside_their_range_are_refused(name, value):
    with pytest.raises(OptionError, match=rf"^{name} must lie in \[0, 1\], got "):
        LLMRank(**{name: value})


def test_an_option_error_is_a_value_error_and_a_visitors_error():
    assert issubclass(OptionError, ValueError)
    assert issubclass(OptionError, LLMRankError)


def test_numbers_beyond_every_float_are_refused():
    with pytest.raises(OptionError, match="sparsity must lie in"):
        PruningSpec(sparsity=10**400)
    with pytest.raises(OptionError, match="ratio must be a number"):
        Recipe(ratio=10**400)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("share", "lie in [0, 1]"),
        ("count", "be a whole number of at least 1"),
        ("flavour", "be one of sweet, sour"),
        ("note", "be text"),
        ("ratio", "be a number"),
    ],
)
def test_limits_are_said_in_words(name, words):
    assert declared(name).limits == words


def test_large_limits_are_said_exactly():
    with pytest.raises(OptionError) as caught:
        EvaluationSpec(eval_tokens=10)
    assert str(caught.value) == (
        "eval_tokens must be a whole number and lie in [1024, 10000000], got 10"
    )
    with pytest.raises(OptionError, match=r"\[0, 2147483648\], got 2147483649"):
        CalibrationSpec(seed=2**31 + 1)


@pytest.mark.parametrize("value", [1.0, 2.5, "2", True, None])
def test_a_count_that_is_not_whole_is_refused(value):
    with pytest.raises(OptionError, match="samples must be a whole number and lie in"):
        CalibrationSpec(samples=value)


def test_a_choice_names_its_choices():
    with pytest.raises(OptionError) as caught:
        LLMRank(graph="circular")
    assert str(caught.value) == (
        "graph must be one of isolated, chained, got 'circular'"
    )
    with pytest.raises(OptionError, match="graph must be one of"):
        LLMRank(graph=3)


def test_text_must_be_text():
    with pytest.raises(OptionError, match="calibration_text must be text, got 5"):
        CalibrationSpec(calibration_text=5)


def test_a_long_value_is_shown_short():
    with pytest.raises(OptionError) as caught:
        LLMRank(graph="x" * 10_000)
    assert len(str(caught.value)) < 160
    assert str(caught.value).endswith("...")


def test_a_whole_number_for_a_share_is_the_same_spec():
    assert PruningSpec(sparsity=0) == PruningSpec(sparsity=0.0)
    assert repr(PruningSpec(sparsity=0)) == repr(PruningSpec(sparsity=0.0))
    assert isinstance(LLMRank(theta=1).theta, float)
    assert hash(LLMRank(theta=1)) == hash(LLMRank(theta=1.0))


def test_specs_cannot_be_changed_and_replacing_checks_again():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Recipe().share = 0.1
    with pytest.raises(OptionError, match="share must lie in"):
        dataclasses.replace(Recipe(), share=7)


def test_fields_without_help_are_no_options():
    assert [o.name for o in options(Recipe)] == [
        "share", "count", "flavour", "note", "ratio",
    ]  # fmt: skip
    assert "hidden" not in described(Recipe())


def test_a_described_spec_builds_itself_again():
    made = Recipe(share=0.25, count=9, flavour="sour", note="salt", ratio=-2)
    assert Recipe(**described(made)) == made


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("share", "0.25", 0.25),
        ("share", "1e-3", 0.001),
        ("share", "1", 1.0),
        ("count", "12", 12),
        ("flavour", "sour", "sour"),
        ("note", "0.5", "0.5"),
        ("ratio", "-3", -3.0),
    ],
)
def test_text_is_parsed_to_the_fields_kind(name, text, value):
    parsed = declared(name).parse(text)
    assert parsed == value
    assert type(parsed) is type(value)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("share", "half"),
        ("share", "nan"),
        ("share", "inf"),
        ("share", "1e999"),
        ("share", ""),
        ("share", "0,5"),
        ("count", "2.0"),
        ("count", "0"),
        ("count", "9" * 5000),
        ("flavour", "Sour"),
        ("flavour", ""),
    ],
)
def test_text_that_is_not_a_value_is_refused_as_it_was_written(name, text):
    with pytest.raises(OptionError, match=f"^{name} must ") as caught:
        declared(name).parse(text)
    if len(text) < 80 and text != "1e999":
        assert text in str(caught.value)


@given(st.floats(allow_nan=True, allow_infinity=True))
def test_a_sparsity_is_taken_exactly_when_it_lies_in_its_range(value):
    field = next(o for o in options(PruningSpec) if o.name == "sparsity")
    if 0 <= value < 1:
        assert PruningSpec(sparsity=value).sparsity == value
        assert field.parse(repr(value)) == value
    else:
        with pytest.raises(OptionError):
            PruningSpec(sparsity=value)
        with pytest.raises(OptionError):
            field.parse(repr(value))


def outcome(o, text):
    try:
        return o.parse(text)
    except OptionError as error:
        return error


@given(st.text())
def test_parsing_any_text_gives_a_value_or_an_option_error(text):
    for o in options(Recipe):
        found = outcome(o, text)
        if isinstance(found, OptionError):
            assert str(found).startswith(f"{o.name} must ")
        else:
            o.check(found)


def test_an_option_stands_by_itself():
    below = Option("speed", float, 1.0, "How fast", low=0, below=300)
    below.check(299.9)
    with pytest.raises(OptionError, match=r"speed must lie in \[0, 300\), got 300"):
        below.check(300)
