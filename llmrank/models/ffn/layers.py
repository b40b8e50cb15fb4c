"""The modules of every FFN layer, their weights seen one way, and twins of models."""

import copy
from dataclasses import dataclass
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from llmrank.models.families import Family, family_of


@dataclass(frozen=True)
class FFN:
    """The weights of one FFN layer, as views: `down(act(gate(x)) * up(x))`.

    Row j of `gate` and `up` and column j of `down` are neuron j, whatever the
    orientation in which the model stores them. In a language model d_out is d_model; in
    an MLP it is the width of the next layer.
    """

    layer: int
    gate: Float[Tensor, "d_ff d_model"] | None
    up: Float[Tensor, "d_ff d_model"]
    down: Float[Tensor, "d_out d_ff"]
    gate_bias: Float[Tensor, " d_ff"] | None
    up_bias: Float[Tensor, " d_ff"] | None
    down_bias: Float[Tensor, " d_out"] | None

    @property
    def d_ff(self) -> int:
        """The number of neurons."""
        return self.up.shape[0]

    @property
    def rows(self) -> tuple[Float[Tensor, "d_ff _"], ...]:
        """The weights of each projection with one row per neuron: gate, up, down."""
        own = (self.gate, self.up, self.down.T)
        return tuple(weights for weights in own if weights is not None)


@dataclass(frozen=True)
class Projections:
    """The modules of one FFN layer, for hooks and for the cut."""

    holder: nn.Module
    gate: nn.Module | None
    up: nn.Module
    down: nn.Module

    @property
    def inner(self) -> tuple[nn.Module, ...]:
        """Those whose outputs are neurons: gate and up."""
        return (self.up,) if self.gate is None else (self.gate, self.up)

    @property
    def modules(self) -> tuple[nn.Module, ...]:
        """All of them, in the order in which they run."""
        return (*self.inner, self.down)


def family(model: nn.Module) -> Family:
    """Return the entry of the model's family."""
    return family_of(model.config.model_type)


def projections(model: nn.Module) -> tuple[Projections, ...]:
    """Find the modules of every FFN layer, first block first."""
    own = family(model)
    holders = [block.get_submodule(own.ffn) for block in blocks(model)]
    return tuple(
        Projections(
            holder=holder,
            gate=None if own.gate is None else holder.get_submodule(own.gate),
            up=holder.get_submodule(own.up),
            down=holder.get_submodule(own.down),
        )
        for holder in holders
    )


def blocks(model: nn.Module) -> nn.ModuleList:
    """Return the model's blocks (attention and FFN), first block first."""
    return model.get_submodule(family(model).blocks)


def ffns(model: nn.Module) -> tuple[FFN, ...]:
    """View every FFN layer's weights; nothing is copied."""
    return tuple(
        FFN(
            layer=layer,
            gate=None if p.gate is None else rows_of(p.gate),
            up=rows_of(p.up),
            down=rows_of(p.down),
            gate_bias=None if p.gate is None else bias_of(p.gate),
            up_bias=bias_of(p.up),
            down_bias=bias_of(p.down),
        )
        for layer, p in enumerate(projections(model))
    )


def widths(model: nn.Module) -> tuple[int, ...]:
    """Return d_ff of every layer."""
    return tuple(rows_of(p.up).shape[0] for p in projections(model))


def shared_copy(model: nn.Module) -> nn.Module:
    """Return new modules that share the model's weights and its buffers' values."""
    return _twin(model, {id(p): p for p in model.parameters()})


def _twin(module: nn.Module, memo: dict[int, Any]) -> nn.Module:
    """Do what `copy.deepcopy` does, faster: most of what a module holds is empty.

    Of the demo model 6 ms, where `deepcopy` with the same memo takes 45; a repair layer
    by layer makes a thousand copies.
    """
    if id(module) in memo or hasattr(module, "__deepcopy__"):
        return copy.deepcopy(module, memo)
    other = memo[id(module)] = module.__class__.__new__(module.__class__)
    for name, value in vars(module).items():
        if isinstance(value, dict | set) and not value:
            vars(other)[name] = value.copy()
        elif name == "_modules":
            vars(other)[name] = {
                key: None if child is None else _twin(child, memo)
                for key, child in value.items()
            }
        else:
            vars(other)[name] = copy.deepcopy(value, memo)
    return other


def is_transposed(module: nn.Module) -> bool:
    """GPT-2's Conv1D stores [in, out] where Linear stores [out, in]."""
    return type(module).__name__ == "Conv1D"


def rows_of(module: Any) -> Tensor:
    """View a projection's weight as [out, in], however it is stored."""
    weight: Tensor = module.weight.detach()
    return weight.T if is_transposed(module) else weight


def bias_of(module: Any) -> Tensor | None:
    """Return a projection's bias, if it has one."""
    bias = getattr(module, "bias", None)
    return None if bias is None else bias.detach()


def replace_weight(module: nn.Module, rows: Tensor, bias: Tensor | None) -> None:
    """Give a module weights of its own [out, in], in one piece as it stores them."""
    piece = rows.T.contiguous().T if is_transposed(module) else rows.contiguous()
    install(module, piece, bias)


def install(module: Any, rows: Tensor, bias: Tensor | None) -> None:
    """Give a module weights [out, in] as they lie: copies, or views of others'."""
    stored = rows.T if is_transposed(module) else rows
    module.weight = nn.Parameter(stored, requires_grad=False)
    if bias is not None:
        module.bias = nn.Parameter(bias, requires_grad=False)
    if is_transposed(module):
        module.nx, module.nf = stored.shape
    else:
        module.out_features, module.in_features = stored.shape
