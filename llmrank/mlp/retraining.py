"""After the cut: go on training, begin again where it began, or from nothing."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from llmrank.core.progress import Progress, silent
from llmrank.methods.pruning import PruningPlan
from llmrank.mlp.example_sets import Examples
from llmrank.mlp.network import Network, accuracy, cut, initial
from llmrank.mlp.training import Epoch, MLPSpec, Trained, train

FINE_TUNE = "fine-tune"
REWIND = "rewind"
SCRATCH = "from scratch"

Curves = dict[str, tuple[Epoch, ...]]


@dataclass(frozen=True, eq=False)
class Recovery:
    """Three trainings of one small network, and what they start from.

    `at_start` is each one's accuracy on the test set before its first step.
    """

    dense_accuracy: float
    at_start: dict[str, float]
    curves: Curves
    networks: dict[str, Network]
    n_test: int
    """Examples that every accuracy is measured on."""


def recover(
    trained: Trained,
    plan: PruningPlan,
    spec: MLPSpec,
    data: Examples,
    *,
    progress: Progress = silent,
    publish: Callable[[Recovery], None] = lambda _: None,
) -> Recovery:
    """Train the pruned network three ways, each with the same steps in the same order.

    Fine-tune: from the weights that are left. Rewind: the same neurons with the
    weights they began with (Frankle and Carbin 2019, arXiv 1803.03635, the lottery
    ticket; here whole neurons are kept). From scratch: new weights (Liu et al. 2019,
    arXiv 1810.05270).

    Args:
        trained: the dense network and where it began.
        plan: the neurons that stay.
        spec: how the small ones are trained; its widths are not used.
        data: what on.
        progress: called per epoch.
        publish: called after each epoch with what is known.

    Raises:
        LLMRankError: a training diverges.
    """
    own = replace(spec, widths=",".join(map(str, plan.widths)))
    # Another seed than the dense network's: from scratch means other weights. They are
    # drawn here, so that the order of the examples is the one of the other two.
    other = torch.Generator().manual_seed(own.seed + 1)
    sizes = (data.d_in, *plan.widths, data.n_classes)
    ways = {
        FINE_TUNE: cut(trained.network, plan.keep),
        REWIND: cut(trained.start, plan.keep),
        SCRATCH: initial(sizes, own.activation, other),
    }
    dense = accuracy(trained.network, data.test_x, data.test_y)
    recovery = Recovery(dense, {}, {}, {}, len(data.test_y))
    for name, start in ways.items():
        recovery = _way(name, own, start, recovery, data, progress, publish)
    return recovery


def _way(  # noqa: PLR0913
    name: str,
    how: MLPSpec,
    start: Network,
    recovery: Recovery,
    data: Examples,
    progress: Progress,
    publish: Callable[[Recovery], None],
) -> Recovery:
    def heard(_: str, done: int, total: int) -> None:
        progress(f"Training the small network: {name}", done, total)

    def so_far(epochs: tuple[Epoch, ...]) -> None:
        publish(replace(recovery, curves=recovery.curves | {name: epochs}))

    done = train(how, data, start=start, progress=heard, publish=so_far)
    before = accuracy(done.start, data.test_x, data.test_y)
    return replace(
        recovery,
        at_start=recovery.at_start | {name: before},
        curves=recovery.curves | {name: done.epochs},
        networks=recovery.networks | {name: done.network},
    )
