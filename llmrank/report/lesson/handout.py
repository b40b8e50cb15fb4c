"""The lesson on paper: one HTML file with the student's own network and numbers."""

from functools import cache
from pathlib import Path
from typing import Any

import jinja2
from torch import Tensor

from llmrank.core.errors import LLMRankError
from llmrank.core.statistics import ranks
from llmrank.lesson.network import (
    EXAMPLES,
    LAYERS,
    NODES,
    LessonSpec,
    Network,
    activations,
    answers,
    cut,
    cut_plan,
    edge_shares,
    priors,
    scores,
    sharpened,
)
from llmrank.lesson.race import Race
from llmrank.lesson.random_walk import exact, referee
from llmrank.methods.pruning import PruningPlan
from llmrank.report.lesson.drawing import drawing
from llmrank.report.lesson.race import origin, race_table, reading


def handout(net: Network, spec: LessonSpec, timed: Race | None = None) -> str:
    """Write the lesson as a page that requests nothing, for the screen and the printer.

    Args:
        net: the student's own network.
        spec: θ, γ and the sparsity.
        timed: zeros against cuts, where they were timed.
    """
    cut_down = cut_plan(net, spec)
    every = scores(net, theta=spec.theta, gamma=spec.gamma)
    compared = answers(net, cut_down)
    return (
        _environment()
        .get_template("handout.html")
        .render(
            of=spec,
            names=NODES,
            layers=LAYERS,
            examples=EXAMPLES,
            whole=drawing(net),
            scored=drawing(net, every, keep=cut_down.keep),
            sums=[_column_sums(w) for w in net.weights],
            flows=_flows(net, spec.theta),
            neurons=_neurons(net, spec, cut_down),
            gone=_gone(cut_down),
            n_before=net.n_weights,
            n_after=cut(net, cut_down).n_weights,
            before=compared.before.tolist(),
            after=compared.after.tolist(),
            kept=compared.kept,
            surfer=_surfer(net, spec, every),
            race=_raced(timed),
            leaders=_leaders(net, spec),
        )
    )


def _column_sums(weights: Tensor) -> list[list[int | float]]:
    """Strength and degree of every source."""
    return [w.sum(0).tolist() for w in (weights.abs(), weights != 0)]


def _raced(timed: Race | None) -> dict[str, Any] | None:
    if timed is None:
        return None
    rows = race_table(timed).to_dict("records")
    return {"rows": rows, "reading": reading(timed), "origin": origin(timed)}


def _flows(net: Network, theta: float) -> list[dict[str, object]]:
    """The flow along the edges alone, γ = 1: what arrives is shares by importance."""
    pure = scores(net, theta=theta, gamma=1.0)
    return [
        {
            "source": LAYERS[layer],
            "target": LAYERS[layer + 1],
            "matrix": edge_shares(weights, theta).tolist(),
            "vector": pure[layer].tolist(),
            "result": (edge_shares(weights, theta) @ pure[layer]).tolist(),
        }
        for layer, weights in enumerate(net.weights)
    ]


def _neurons(
    net: Network, spec: LessonSpec, plan: PruningPlan
) -> list[dict[str, object]]:
    """Every hidden neuron: what the edges bring, how it fires, its score and rank."""
    values, prior = activations(net), priors(net)
    every = scores(net, theta=spec.theta, gamma=spec.gamma)
    rows: list[dict[str, object]] = []
    for layer in (1, 2):
        brought = edge_shares(net.weights[layer - 1], spec.theta) @ every[layer - 1]
        stays = set(plan.keep[layer - 1].tolist())
        places = ranks(sharpened(every[layer])).tolist()
        for i, name in enumerate(NODES[layer]):
            rows.append(
                {
                    "name": name,
                    "values": values[layer][:, i].tolist(),
                    "norm": float(values[layer][:, i].norm()),
                    "prior": float(prior[layer][i]),
                    "brought": float(brought[i]),
                    "score": float(every[layer][i]),
                    "rank": places[i],
                    "gone": i not in stays,
                }
            )
    return rows


def _gone(plan: PruningPlan) -> list[str]:
    return [NODES[k + 1][i] for k, drop in enumerate(plan.drop) for i in drop.tolist()]


def _surfer(
    net: Network, spec: LessonSpec, scores: tuple[Tensor, ...]
) -> list[tuple[str, float, float, float | None]]:
    """Every node: its score, the surfer's exact time, and what networkx says."""
    walked = exact(net, theta=spec.theta, gamma=spec.gamma)
    try:
        theirs: tuple[Tensor, ...] | None = referee(
            net, theta=spec.theta, gamma=spec.gamma
        )
    except LLMRankError:
        theirs = None
    return [
        (
            name,
            float(scores[layer][i]),
            float(walked[layer][i]),
            None if theirs is None else float(theirs[layer][i]),
        )
        for layer, names in enumerate(NODES)
        for i, name in enumerate(names)
    ]


def _leaders(net: Network, spec: LessonSpec) -> dict[str, str]:
    """Who leads hidden A at the ends of θ and γ."""
    ends = {
        "strength": (1.0, 1.0),
        "degree": (0.0, 1.0),
        "edges": (spec.theta, 1.0),
        "activation": (spec.theta, 0.0),
    }
    return {
        name: ", ".join(_first(scores(net, theta=t, gamma=g)[1]))
        for name, (t, g) in ends.items()
    }


def _first(scores: Tensor) -> list[str]:
    """Name the first of hidden A; equals are all first."""
    near = sharpened(scores)
    return [name for name, s in zip(NODES[1], near, strict=True) if s == near.max()]


@cache
def _environment() -> jinja2.Environment:
    loader = jinja2.FileSystemLoader(str(Path(__file__).parent))
    made = jinja2.Environment(loader=loader, autoescape=True)
    made.filters["three"] = lambda x: f"{x:.3f}".replace("-", "−")
    made.filters["short"] = lambda x: f"{x:.4g}".replace("-", "−")
    return made
