"""The lesson's numbers by hand, against networkx, and where its network is unusual.

Worked on paper, for the lesson's own weights (tests name what they need of it):

    W1 = [ 2    0     0 ]   |columns| sum to 4, 4, 4; they have 4, 3, 3 edges
         [ .5   .75   2 ]
         [-1    2.5   1 ]   (x1 has an edge to all four: 2, .5, 1, .5)
         [ .5  -.75   1 ]

    x = (3, 2, 0) and (4, 0, 1): norms 5, 2, 1, so the inputs have 5/8, 2/8, 1/8.
    A1 = 2·3 = 6 and 2·4 = 8                          norm 10
    A2 = 1.5 + 1.5 + 0 = 3 and 2 + 0 + 2 = 4          norm 5
    A3 = -3 + 5 + 0 = 2 and -4 + 0 + 1 = -3 → 0       norm 2
    A4 = 1.5 - 1.5 + 0 = 0 and 2 + 0 + 1 = 3          norm 3      sum 20
"""

import itertools
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lesson_numbers import N_WEIGHTS, random_numbers

from llmrank.core.errors import CancelledError, LLMRankError
from llmrank.evaluation.latency import Timing
from llmrank.lesson import network as lesson
from llmrank.lesson import race as timing
from llmrank.lesson import random_walk
from llmrank.lesson.network import LessonSpec
from llmrank.lesson.race import RaceSpec
from llmrank.report.lesson import race
from llmrank.report.lesson.handout import handout

SHARES = st.floats(0, 1)


@pytest.fixture(scope="module")
def net():
    return lesson.network()


def close(found, expected):
    torch.testing.assert_close(
        found, torch.tensor(expected, dtype=torch.float64), rtol=0, atol=1e-14
    )


# By hand


def test_the_neurons_give_out_what_paper_says(net):
    _, a, b, y = lesson.activations(net)
    close(a, [[6, 3, 2, 0], [8, 4, 0, 3]])
    # B1 = A1 - A2; B2 = -A1/2 + A2 + A3/2 - 2 A4; B3 = A1/2 - 1.5 A3
    close(b, [[3, 1, 0], [4, 0, 4]])  # B2: -3+3+1 = 1, -4+4-6 → 0; B3: 3-3, 4
    # y1 = B1/2 + 1.5 B2 - B3/2; y2 = -B1/2 - 1.5 B2 + 1.5 B3
    close(y, [[3, -3], [0, 4]])


def test_activation_priors_are_norms_as_shares(net):
    inputs, a, b, y = lesson.priors(net)
    close(inputs, [5 / 8, 2 / 8, 1 / 8])
    close(a, [10 / 20, 5 / 20, 2 / 20, 3 / 20])
    close(b, [5 / 10, 1 / 10, 4 / 10])
    close(y, [3 / 8, 5 / 8])


def test_strength_splits_by_weight_and_degree_alike(net):
    strength = lesson.edge_shares(net.weights[0], 1.0)
    close(strength[:, 0], [2 / 4, 0.5 / 4, 1 / 4, 0.5 / 4])
    close(strength[:, 1], [0, 0.75 / 4, 2.5 / 4, 0.75 / 4])
    degree = lesson.edge_shares(net.weights[0], 0.0)
    close(degree[:, 0], [1 / 4] * 4)
    close(degree[:, 1], [0, 1 / 3, 1 / 3, 1 / 3])  # A1 has no edge from x2
    half = lesson.edge_shares(net.weights[0], 0.5)
    close(half[:, 0], [3 / 8, 3 / 16, 1 / 4, 3 / 16])


def test_importance_flows_one_layer_at_each_step(net):
    """By strength: A1 gets 5/8·1/2, A3 gets 5/8·1/4 + 2/8·5/8 + 1/8·1/4."""
    _, a, _, _ = lesson.scores(net, theta=1.0, gamma=1.0)
    a3 = 5 / 32 + 10 / 64 + 1 / 32
    close(a[[0, 2]], [5 / 16, a3])
    # by degree: x1 gives 5/32 to each; x2 and x3 a third of 3/8 to all but A1
    _, a, _, _ = lesson.scores(net, theta=0.0, gamma=1.0)
    close(a, [5 / 32] + [5 / 32 + 1 / 8] * 3)


def test_gamma_mixes_edges_and_activation(net):
    """At θ = γ = ½ the edges bring A1 (5/16 + 5/32) / 2 = 15/64; half of it + 1/4."""
    _, a, _, _ = lesson.scores(net, theta=0.5, gamma=0.5)
    close(a[0], 15 / 128 + 1 / 4)
    a4 = (5 / 32 + 9 / 32) / 2  # 5/64 + 3/64 + 2/64 by strength; 9/32 by degree
    close(a[3], a4 / 2 + 0.15 / 2)
    _, a, b, _ = lesson.scores(net, theta=0.5, gamma=0.0)
    close(a, [0.5, 0.25, 0.1, 0.15])
    close(b, [0.5, 0.1, 0.4])


@pytest.mark.parametrize(
    ("gamma", "gone", "after", "kept"),
    [
        (0.5, ["A4", "B2"], [[1.5, -1.5], [0, 4]], (True, True)),
        (0.0, ["A3", "B2"], [[0, 3], [0, 4]], (False, True)),  # example 1 turns over
        (1.0, ["A4", "B1"], [[1.5, -1.5], [-2, 6]], (True, True)),
    ],
)
def test_the_cut_and_the_answers_after_it(net, gamma, gone, after, kept):
    """γ = 0: without A3, B3 is 3 on example 1, and y2 = -1.5 + 4.5 = 3 beats y1 = 0."""
    of = LessonSpec(theta=0.5, gamma=gamma, sparsity=0.3)
    by = lesson.cut_plan(net, of)
    names = [lesson.NODES[k + 1][i] for k, d in enumerate(by.drop) for i in d.tolist()]
    assert names == gone
    found = lesson.answers(net, by)
    close(found.after, after)
    assert found.kept == kept
    assert lesson.cut(net, by).n_weights == 3 * 3 + 2 * 3 + 2 * 2


def test_a_network_cut_to_silence_has_kept_no_answer(net):
    by = lesson.cut_plan(net, LessonSpec(theta=0.5, gamma=1.0, sparsity=0.5))
    found = lesson.answers(net, by)
    close(found.after, [[0, 0], [0, 0]])
    assert found.kept == (False, False)


def test_cut_is_as_if_the_neurons_gave_out_nothing(net):
    by = lesson.cut_plan(net, LessonSpec(gamma=1.0))
    masked = [w.clone() for w in net.weights]
    for k, drop in enumerate(by.drop):
        masked[k][drop] = 0
    found = lesson.activations(lesson.Network(tuple(masked), net.examples))[-1]
    torch.testing.assert_close(lesson.answers(net, by).after, found)


def test_equal_scores_keep_the_lower_index():
    """All weights 1: rounding alone must not say who goes."""
    net = lesson.network([1.0] * N_WEIGHTS)
    by = lesson.cut_plan(net, LessonSpec(sparsity=0.5))
    assert [k.tolist() for k in by.keep] == [[0, 1], [0]]


# The surfer


@pytest.mark.parametrize("theta", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("gamma", [0.0, 0.5, 0.85, 0.99])
def test_scores_surfer_and_networkx_agree(net, theta, gamma):
    at = {"theta": theta, "gamma": gamma}
    own, walked = lesson.scores(net, **at), random_walk.exact(net, **at)
    theirs = random_walk.referee(net, **at)
    for ours, exact, referee in zip(own, walked, theirs, strict=True):
        torch.testing.assert_close(ours, exact, rtol=0, atol=1e-12)
        torch.testing.assert_close(ours, referee, rtol=0, atol=1e-9)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), SHARES, st.floats(0, 0.99))
def test_any_network_without_dead_ends_agrees(seed, theta, gamma):
    net = lesson.network(random_numbers(seed))
    at = {"theta": theta, "gamma": gamma}
    for layers in (random_walk.exact(net, **at), random_walk.referee(net, **at)):
        for ours, theirs in zip(lesson.scores(net, **at), layers, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-8)


def test_a_step_of_the_surfer_leads_somewhere(net):
    step = random_walk.transitions(net, theta=0.7, gamma=0.6)
    torch.testing.assert_close(step.sum(0), torch.ones(12, dtype=torch.float64))
    assert (step >= 0).all()


def test_without_jumps_networkx_is_not_asked(net):
    with pytest.raises(LLMRankError, match=r"choose γ of at most 0\.995"):
        random_walk.referee(net, theta=0.5, gamma=1.0)
    ours = lesson.scores(net, theta=0.5, gamma=1.0)
    for a, b in zip(ours, random_walk.exact(net, theta=0.5, gamma=1.0), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


# Where the network is unusual


def test_all_zero_weights_leave_equal_shares():
    net = lesson.network([0.0] * N_WEIGHTS)
    for layer in lesson.scores(net, theta=0.5, gamma=1.0)[1:]:
        close(layer, [1 / len(layer)] * len(layer))
    assert handout(net, LessonSpec()).count("<svg") == 2


def test_dead_neurons_have_equal_activation():
    """Weights of -1 let no neuron of hidden A through on positive inputs."""
    net = lesson.network([-1.0] * 12 + [1.0] * 18)
    assert not lesson.activations(net)[1].any()
    close(lesson.priors(net)[1], [0.25] * 4)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), SHARES, SHARES)
def test_scores_always_sum_to_one(seed, theta, gamma):
    net = lesson.network(random_numbers(seed, zeros=0.6))
    for layer in lesson.scores(net, theta=theta, gamma=gamma):
        assert abs(float(layer.sum()) - 1) < 1e-12
        assert (layer >= 0).all()


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), 1e30, -100.5])
def test_weights_that_cannot_be_are_refused(bad):
    with pytest.raises(LLMRankError, match=r"must lie in \[-100, 100\], got"):
        lesson.network([1.0] * 29 + [bad])


def test_another_number_of_weights_is_refused():
    with pytest.raises(LLMRankError, match="the lesson has 30 weights, got 3"):
        lesson.network([1.0, 2.0, 3.0])


# Why structured


def test_the_three_ways_prune_the_same_share():
    of = RaceSpec(d_model=20, d_ff=40, sparsity=0.3)
    made = timing.versions(of, torch.device("cpu"))
    full = 2 * 20 * 40
    left = [sum(int(w.count_nonzero()) for w in block) for block in made.values()]
    assert left == [full, full - 480, full - 480, full - 480]
    shapes = [tuple(block[0].shape) for block in made.values()]
    assert shapes == [(40, 20), (40, 20), (40, 20), (28, 20)]


def test_rows_cut_compute_what_zeros_in_rows_compute():
    made = timing.versions(RaceSpec(d_model=20, d_ff=40), torch.device("cpu"))
    x = torch.randn(7, 20, generator=torch.Generator().manual_seed(0))
    (up, down), (less_up, less_down) = made["zeros in rows"], made["rows cut"]
    torch.testing.assert_close(
        (x @ up.T).relu() @ down.T, (x @ less_up.T).relu() @ less_down.T
    )


def test_a_race_keeps_every_round_and_its_machine():
    of = RaceSpec(d_model=16, d_ff=32, rows=4, rounds=5)
    found = timing.race(of)
    assert set(found.timings) == set(timing.VERSIONS)
    assert all(len(t.samples_ms) == 5 for t in found.timings.values())
    assert found.ratio("all weights") == (1.0, 1.0, 1.0)
    table = race.race_table(found)
    assert table["weights not zero"].tolist() == [1024, 512, 512, 512]
    assert (table["lower quarter ms"] <= table["median ms"]).all()
    assert found.processor in race.origin(found)
    assert "With 50 % gone" in race.reading(found)
    assert "all weights" not in timing.faster(found)
    assert len(race.race_chart(found, dark=True).data) == 5


@pytest.mark.parametrize(
    ("times", "faster"),
    [
        ((4.0, 4.1, 4.2, 2.0), ("rows cut",)),
        ((4.0, 4.0, 4.0, 3.9), ()),
        ((4.0, 1.0, 4.0, 2.0), ("zeros at random places", "rows cut")),
    ],
)
def test_the_clock_names_who_is_faster_than_all_weights(times, faster):
    found = timing.race(RaceSpec(d_model=4, d_ff=8, rows=1, rounds=3))
    timings = {
        name: Timing((ms, 2 * ms, 3 * ms), 3)
        for name, ms in zip(timing.VERSIONS, times, strict=True)
    }
    assert timing.faster(replace(found, timings=timings)) == faster


def test_a_race_can_be_stopped():
    def stop(*_):
        raise CancelledError

    with pytest.raises(CancelledError):
        timing.race(RaceSpec(d_model=4, d_ff=8, rows=1), progress=stop)


# On paper


def test_the_handout_holds_the_students_own_numbers(net):
    of = LessonSpec(gamma=0.0)
    page = handout(net, of, timing.race(RaceSpec(d_model=8, d_ff=16, rounds=3)))
    assert "A3, B2 go: 30 weights become 19" in page
    assert "γ = 0," in page
    assert "0.500" in page  # A1's activation
    assert "not the same" in page  # example 1 turns over
    assert "A2, A3, A4 by degree" in page  # equals are all first
    assert "zeros at random places" in page
    assert "default-src 'none'" in page
    for tag in ("<script", "<link", "<img", "<iframe", 'src="'):
        assert tag not in page


def test_the_handout_without_networkx_and_clock_says_so(net):
    page = handout(net, LessonSpec(gamma=1.0, sparsity=0.0))
    assert "networkx" not in page
    assert "Not timed yet" in page
    assert "Nobody goes: 30 weights become 30" in page


def test_the_drawing_has_every_edge_and_no_other(net):
    numbers = list(itertools.chain(*(w.flatten().tolist() for w in net.weights)))
    page = handout(net, LessonSpec())
    assert page.count('fill="none"') == 2 * sum(w != 0 for w in numbers)
