"""A twin that adds up every sample's gradients, and what they come to per neuron."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from llmrank.core.devices import with_doubles
from llmrank.core.errors import LLMRankError
from llmrank.models import ffn
from llmrank.models.ffn import FFN
from llmrank.models.language_model import LanguageModel


@dataclass(frozen=True)
class MemberGradients:
    """What the gradients say of one projection's part of each neuron, over samples n.

    With g_n the loss's gradient of sample n, g their sum, and w over the row (of `gate`
    and `up`) or column (of `down`) that belongs to the neuron:
    `change`: Σ_w g w; `curvature`: Σ_n (Σ_w g_n w)²; `element_change`: Σ_w |g w|;
    `element_second`: Σ_w |g w − ½ Σ_n (g_n w)²|; `scaled_norm`: Σ_w |w| √(Σ_n g_n²).
    """

    change: Float[Tensor, " d_ff"]
    curvature: Float[Tensor, " d_ff"]
    element_change: Float[Tensor, " d_ff"]
    element_second: Float[Tensor, " d_ff"]
    scaled_norm: Float[Tensor, " d_ff"]


@dataclass(frozen=True)
class LayerGradients:
    """The gradients of one FFN layer, reduced to numbers per neuron."""

    up: MemberGradients
    down: MemberGradients
    gate: MemberGradients | None = None

    @property
    def members(self) -> tuple[MemberGradients, ...]:
        """The parts of a neuron in the order in which they are executed."""
        return tuple(m for m in (self.gate, self.up, self.down) if m is not None)


@dataclass(frozen=True)
class Gradients:
    """What the backward pass measured, layer by layer, and on what."""

    layers: tuple[LayerGradients, ...]
    n_samples: int
    text_source: str
    text_sha256: str


class _Sums:
    """What is added up of one projection, whose rows are seen as neurons."""

    def __init__(self, rows: Float[Tensor, "d_ff d_model"]) -> None:
        self._rows = rows
        self._sum = torch.zeros_like(rows, dtype=torch.float32)
        self._squares = torch.zeros_like(self._sum)
        self._curvature = with_doubles(self._sum.new_zeros(len(rows))).double()

    def add(self, gradient: Float[Tensor, "d_ff d_model"], scale: float) -> bool:
        """Take in a sample's gradient times a scale; say whether it is finite."""
        self._sum.add_(gradient, alpha=scale)
        self._squares.addcmul_(gradient, gradient, value=scale**2)
        along = with_doubles(gradient.mul_(self._rows).sum(1)).double() * scale
        self._curvature += along.square()
        return bool(along.isfinite().all())

    def reduced(self) -> MemberGradients:
        """Return the sums as numbers per neuron."""
        weights = self._rows.float()
        change = self._sum * weights
        quadratic = self._squares * weights.square()
        return MemberGradients(
            change=_row_sums(change).float().cpu(),
            curvature=self._curvature.float().cpu(),
            element_change=_row_sums(change.abs()).float().cpu(),
            element_second=_row_sums((change - quadratic / 2).abs()).float().cpu(),
            scaled_norm=_row_sums(weights.abs() * self._squares.sqrt()).float().cpu(),
        )


class Pass:
    """A twin whose hooks add up every sample's gradients.

    The first `n_given` tokens of a sample are read and not predicted.
    """

    def __init__(self, lm: LanguageModel, n_given: int) -> None:
        self._n_given = n_given
        self._lm, self._model = lm, ffn.shared_copy(lm.model)
        self._root: Tensor | None = None
        self._n_targets = 1
        self._broken: list[int] = []
        embedding = self._model.get_input_embeddings()
        embedding.register_forward_hook(self._begin)
        pairs = zip(ffn.projections(self._model), ffn.ffns(lm.model), strict=True)
        self._layers = [self._hooked(p, view) for p, view in pairs]

    def add(self, ids: Int[Tensor, "1 seq_len"]) -> None:
        """Run one sample both ways.

        Its losses are added, and the gradients divided in float32: in half precision
        those of the mean would vanish.
        """
        n_given, wanted = self._n_given, ids[0, self._n_given :]
        self._n_targets = len(wanted)
        logits = self._model(ids, use_cache=False).logits[0, n_given - 1 : -1].float()
        loss = nn.functional.cross_entropy(logits, wanted, reduction="sum")
        torch.autograd.grad(loss, self._root)
        if self._broken:
            raise self._not_finite(self._broken[0])

    def reduced(self) -> tuple[LayerGradients, ...]:
        """Return the sums as numbers per neuron.

        Raises:
            LLMRankError: a sum is not finite.
        """
        layers = tuple(
            LayerGradients(**{name: own.reduced() for name, own in sums.items()})
            for sums in self._layers
        )
        for number, layer in enumerate(layers):
            values = [v for m in layer.members for v in vars(m).values()]
            if not all(v.isfinite().all() for v in values):
                raise self._not_finite(number)
        return layers

    def _begin(self, _: nn.Module, __: object, output: Tensor) -> Tensor:
        """Only what follows the embedding is differentiated: no weight asks for it."""
        self._root = output.detach().requires_grad_()
        return self._root

    def _hooked(self, p: ffn.Projections, view: FFN) -> dict[str, _Sums]:
        """Hook the projections of one layer; columns of `down` are rows here."""
        collected: dict[str, _Sums] = {}
        rows = {"gate": view.gate, "up": view.up, "down": view.down.T}
        for name, of_neurons in rows.items():
            if of_neurons is not None:
                collected[name] = sums = _Sums(of_neurons)
                self._hook(getattr(p, name), sums, name == "down", view.layer)
        return collected

    def _hook(self, module: nn.Module, sums: _Sums, ends: bool, layer: int) -> None:
        def forwards(_: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            before = inputs[0].detach()

            def backwards(delta: Tensor) -> None:
                after = delta.detach().flatten(0, -2).float()
                gradient = after.T @ before.flatten(0, -2).float()
                rows = gradient.T if ends else gradient
                if not sums.add(rows, 1 / self._n_targets):
                    self._broken.append(layer)

            output.register_hook(backwards)

        module.register_forward_hook(forwards)

    def _not_finite(self, layer: int) -> LLMRankError:
        return LLMRankError(
            f"gradients of layer {layer} are not finite; the model overflows here on "
            f"the way back in {self._lm.spec.dtype}: use float32, or check its weights"
        )


def _row_sums(x: Tensor) -> Tensor:
    return with_doubles(x).sum(1, dtype=torch.float64)
