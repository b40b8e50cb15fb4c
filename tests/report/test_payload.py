"""What is packed for the browser, read back byte by byte."""

import zlib

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from wire import unpacked

from llmrank.methods import response_planes
from llmrank.methods.pruning import PruningPlan
from llmrank.report.payload import cut_crc, of_planes, of_response_planes, pack

LAYERS = [torch.tensor([0.5, 0.25]), torch.tensor([1.0, 2.0, 3.0])]


def test_planes_come_back_layer_after_layer():
    twice = [2 * layer for layer in LAYERS]
    packed = of_planes("a", {"one": LAYERS, "two": twice}, more=7)
    header, values = unpacked(packed)
    assert (header["name"], header["more"]) == ("a", 7)
    assert (header["names"], header["widths"]) == (["one", "two"], [2, 3])
    one, two = values["planes"].tolist()
    assert one == [0.5, 0.25, 1, 2, 3]
    assert two == [1, 0.5, 2, 4, 6]


def test_sections_of_every_kind_come_back_in_their_shapes():
    kinds = (torch.uint8, torch.int8, torch.int32, torch.float32)
    sections = {str(k): torch.arange(15).reshape(3, 5).to(k) for k in kinds}
    sections |= {"turned": torch.arange(15.0).reshape(3, 5).T, "none": torch.ones(0)}
    _, values = unpacked(pack("a", sections))
    assert {k: v.tolist() for k, v in values.items()} == {
        k: v.tolist() for k, v in sections.items()
    }


@given(st.text(max_size=40))
def test_values_start_at_a_multiple_of_four_bytes_whatever_the_name(name):
    packed = of_planes(name, {"p": LAYERS})
    assert int.from_bytes(packed[4:8], "little") % 4 == 0
    assert unpacked(packed)[0]["name"] == name


def test_planes_of_different_widths_are_refused():
    with pytest.raises(ValueError, match="the same widths"):
        of_planes("a", {"one": LAYERS, "two": LAYERS[:1]})
    with pytest.raises(ValueError, match="there must be one"):
        of_planes("a", {})


def test_response_planes_say_what_their_weights_are_made_of():
    made = response_planes.Planes(
        "isolated", "neuron", (torch.arange(6.0).reshape(3, 2),), (0.25,)
    )
    header, values = unpacked(of_response_planes("x", made))
    assert header["exponents"] == [[1, 0, 0], [0, 1, 0], [0, 0, 1]]
    assert header["error"] == 0.25
    assert values["planes"].tolist() == [[0, 1], [2, 3], [4, 5]]


def test_the_sum_of_a_cut_is_of_one_byte_per_neuron():
    plan = PruningPlan((torch.tensor([1]), torch.tensor([0, 2])), (2, 3))
    assert cut_crc(plan) == zlib.crc32(bytes([1, 0, 0, 1, 0]))
    other = PruningPlan((torch.tensor([0]), torch.tensor([0, 2])), (2, 3))
    assert cut_crc(other) != cut_crc(plan)
