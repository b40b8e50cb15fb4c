"""How unevenly scores are spread over neurons: hints of how much can be removed."""

from jaxtyping import Float
from torch import Tensor

from llmrank.methods.pagerank import distribution


def effective_neurons(scores: Float[Tensor, " n"]) -> float:
    """Return the inverse Simpson index `1 / Σ s²` of scores that sum to 1.

    From 1 (one neuron has all) to n (all alike): how many equal neurons would be as
    concentrated. The scores are made to sum to 1 first; all zeros count as equal.

    Source: Simpson 1949, inverted; as a number of neurons to keep arXiv 2509.25606.
    """
    return 1 / float(distribution(scores.double()).square().sum())


def pq_index(scores: Float[Tensor, " n"], *, p: float = 0.5, q: float = 1.0) -> float:
    """Return `1 − n^(1/q − 1/p) ‖s‖_p / ‖s‖_q`: larger means more compressible.

    From 0 (all scores alike) towards 1 (one neuron has all); scale does not matter.

    Args:
        scores: non-negative; all zeros count as equal.
        p: positive and below q; ½ and 1 are what the source prunes with.
        q: above p.

    Raises:
        ValueError: not 0 < p < q.

    Source: Diao et al. 2023, arXiv 2302.05601: the PQ index.
    """
    if not 0 < p < q:
        raise ValueError(f"p and q must satisfy 0 < p < q, got p={p}, q={q}")
    s = distribution(scores.double())
    norm_p, norm_q = (float(s.pow(e).sum()) ** (1 / e) for e in (p, q))
    return 1 - len(s) ** (1 / q - 1 / p) * norm_p / norm_q
