"""The same scores as a random walk: one surfer, solved exactly and by networkx.

With probability γ the surfer follows an edge, by its share; else it jumps: to any of
the T layers alike, and there to a node by its activation prior. From the last layer,
and from a node without edges, following leads back to the inputs by their prior. The
share of its time at each node, times T, is the score of Eq. 7 wherever no node before
the last layer is without edges (DESIGN, section 5).
"""

import networkx as nx
import torch
from jaxtyping import Float64
from torch import Tensor

from llmrank.core.errors import LLMRankError
from llmrank.lesson.network import Network, edge_shares, priors

TOLERANCE = 1e-13
MAX_GAMMA = 0.995
"""Above it networkx needs tens of thousands of steps; at 1 they never settle."""

MAX_STEPS = 10_000


def transitions(
    net: Network, *, theta: float, gamma: float
) -> Float64[Tensor, "n_nodes n_nodes"]:
    """Return the probability of the next node (row) given this one (column)."""
    prior = priors(net)
    sizes = [len(b) for b in prior]
    n = sum(sizes)
    follow = torch.zeros(n, n, dtype=torch.float64)
    start = 0
    for weights in net.weights:
        n_out, n_in = weights.shape
        rows = slice(start + n_in, start + n_in + n_out)
        follow[rows, start : start + n_in] = edge_shares(weights, theta)
        start += n_in
    home = torch.cat([prior[0], torch.zeros(n - sizes[0], dtype=torch.float64)])
    stuck = follow.sum(0) == 0
    follow[:, stuck] = home[:, None]
    jump = torch.cat(prior) / len(sizes)
    return gamma * follow + (1 - gamma) * jump[:, None]


def exact(
    net: Network, *, theta: float, gamma: float
) -> tuple[Float64[Tensor, " _"], ...]:
    """Solve for the share of time at each node, times the number of layers.

    At γ = 1 the walk goes round in T steps; its long-run shares exist all the same.
    """
    step = transitions(net, theta=theta, gamma=gamma)
    n = len(step)
    stays = step - torch.eye(n, dtype=torch.float64)
    system = torch.cat([stays, torch.ones(1, n, dtype=torch.float64)])
    target = torch.zeros(n + 1, dtype=torch.float64)
    target[-1] = 1
    visits = torch.linalg.lstsq(system, target[:, None], driver="gelsd").solution[:, 0]
    return _by_layer(net, visits)


def referee(
    net: Network, *, theta: float, gamma: float
) -> tuple[Float64[Tensor, " _"], ...]:
    """Ask `networkx.pagerank` for the same graph, times the number of layers.

    Raises:
        LLMRankError: γ is so near 1 that its power iteration does not settle.
    """
    if gamma > MAX_GAMMA:
        raise LLMRankError(
            "networkx.pagerank repeats steps until they settle, and without jumps the "
            f"walk goes round for ever; choose γ of at most {MAX_GAMMA}"
        )
    prior = priors(net)
    graph = nx.DiGraph()
    graph.add_nodes_from((t, i) for t, b in enumerate(prior) for i in range(len(b)))
    for t, weights in enumerate(net.weights):
        for j, row in enumerate(edge_shares(weights, theta).tolist()):
            edges = [((t, i), (t + 1, j), w) for i, w in enumerate(row) if w]
            graph.add_weighted_edges_from(edges)
    jump = {(t, i): float(v) for t, b in enumerate(prior) for i, v in enumerate(b)}
    ranks = nx.pagerank(
        graph,
        alpha=gamma,
        personalization=jump,  # networkx divides it by its sum, the number of layers
        dangling={(0, i): float(v) for i, v in enumerate(prior[0])},
        tol=TOLERANCE,
        max_iter=MAX_STEPS,
    )
    visits = torch.tensor([ranks[node] for node in jump], dtype=torch.float64)
    return _by_layer(net, visits)


def _by_layer(net: Network, visits: Tensor) -> tuple[Tensor, ...]:
    sizes = [net.weights[0].shape[1], *(len(w) for w in net.weights)]
    return tuple(part * len(sizes) for part in visits.split(sizes))
