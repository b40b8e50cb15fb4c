"""The memory that a run will need, known before its weights are loaded."""

from dataclasses import dataclass

from llmrank.calibration.activations import BATCH_TOKENS
from llmrank.calibration.gradients import gradient_bytes
from llmrank.core.devices import free_bytes, pick_device
from llmrank.core.errors import LLMRankError
from llmrank.evaluation.perplexity import WINDOW
from llmrank.experiments.experiment import Experiment
from llmrank.models.language_model import ModelShape, shape

COPIES = 4
"""Of the weights that are trained: their own, two moments, the best so far."""

TRAINED_TOKENS = 512
"""Of one step of a training, as it is by default."""


@dataclass(frozen=True)
class MemoryEstimate:
    """What a run will need, known before its weights are loaded."""

    name: str
    dense_bytes: int
    pruned_bytes: int
    working_bytes: int
    available_bytes: int | None

    @property
    def total_bytes(self) -> int:
        """Dense weights, the pruned FFN's own weights and working memory."""
        return self.dense_bytes + self.pruned_bytes + self.working_bytes

    @property
    def sentence(self) -> str:
        """The estimate in one sentence."""
        has = self.available_bytes
        free = "" if has is None else f"; {has / 1e9:.1f} GB are free"
        return (
            f"{self.name} needs about {self.total_bytes / 1e9:.2f} GB of memory "
            f"(dense {self.dense_bytes / 1e9:.2f}, pruned FFN weights "
            f"{self.pruned_bytes / 1e9:.2f}, working {self.working_bytes / 1e9:.2f})"
            f"{free}"
        )

    def check(self) -> None:
        """Refuse what cannot fit."""
        if self.available_bytes is not None and self.total_bytes > self.available_bytes:
            raise LLMRankError(
                f"{self.sentence}: too little; "
                "choose a smaller dtype or a smaller model"
            )


def estimate(
    experiment: Experiment, *, sizes: ModelShape | None = None
) -> MemoryEstimate:
    """Estimate the memory of a run from the model's configuration alone.

    Working memory: the logits of one evaluation window in float32, three times (model,
    cast, log-softmax), and the activations of one calibration batch; or the backward
    pass of a criterion that needs gradients, or a recovery, where that is more. The
    model's shape is read where it is not given.

    Raises:
        LLMRankError: no such model, an unsupported type, a device that is not there.
    """
    sizes = sizes or shape(experiment.model)
    device = pick_device(experiment.model.device)
    itemsize = sizes.weight_bytes // sizes.n_params
    n_matrices = 3  # gate, up, down; an upper bound for ungated families
    ffn_weights = n_matrices * sizes.d_model * sum(sizes.widths)
    kept = 1 - experiment.pruning.sparsity
    n_read = max(BATCH_TOKENS, experiment.calibration.seq_len)
    forwards = 3 * 4 * WINDOW * sizes.d_vocab + 4 * 4 * n_read * sizes.d_ff
    backwards = 0
    if "gradients" in experiment.method.criterion.needs:
        backwards = gradient_bytes(
            d_model=sizes.d_model,
            widths=sizes.widths,
            d_vocab=sizes.d_vocab,
            seq_len=experiment.calibration.seq_len,
            itemsize=itemsize,
        )
    training = 0
    if experiment.method.recovery.trains:
        training = COPIES * 4 * int(ffn_weights * kept)
        training += 2 * sizes.n_params  # dense, in bfloat16
        training += gradient_bytes(
            d_model=sizes.d_model,
            widths=sizes.widths,
            d_vocab=0,  # logits of few rows at a time
            seq_len=TRAINED_TOKENS,
            itemsize=4,
        )
    return MemoryEstimate(
        name=experiment.model.name,
        dense_bytes=sizes.weight_bytes,
        pruned_bytes=int(ffn_weights * kept) * itemsize,
        working_bytes=max(forwards, backwards, training),
        available_bytes=free_bytes(device),
    )
