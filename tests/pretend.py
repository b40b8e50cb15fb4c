"""A second device on a machine that has none: what runs there by mistake is refused.

Its tensors hold ordinary ones and say that they lie on `meta`. Every operation goes
through `Elsewhere`, which refuses to mix them with the CPU's, to draw there with the
CPU's generator and, where that is wanted, float64 (as MPS does). The numbers are the
CPU's, so that whole results can be compared.
"""

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

DEVICE = torch.device("meta")
CROSSING = ("_to_copy", "copy_", "to", "_local_scalar_dense", "item")
"""What moves values between devices, or fetches one."""

INDEXING = ("index", "index_put_", "index_put", "_index_put_impl_")
"""Indices may lie on the CPU there."""


class There(torch.Tensor):
    """A tensor that says it lies on the second device."""

    @staticmethod
    def __new__(cls, inner):
        with torch.inference_mode(False):  # `detach` sets a version there
            made = torch.Tensor._make_wrapper_subclass(
                cls, inner.shape, strides=inner.stride(), dtype=inner.dtype,
                device=DEVICE,
            )  # fmt: skip
        made.inner = inner
        return made

    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
        raise RuntimeError("the second device is used outside of its mode")


class Factories(TorchFunctionMode):
    """`torch.tensor` copies its list before any dispatch mode sees it."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if function is not torch.tensor or kwargs.get("device") != DEVICE:
            return function(*args, **kwargs)
        return function(*args, **kwargs | {"device": "cpu"}).to(DEVICE)


class Elsewhere(TorchDispatchMode):
    """While it is entered, tensors may be moved to the second device and used there."""

    def __init__(self, *, doubles=True):
        super().__init__()
        self._doubles, self._factories = doubles, Factories()

    def __enter__(self):
        self._factories.__enter__()
        return super().__enter__()

    def __exit__(self, *error):
        super().__exit__(*error)
        self._factories.__exit__(*error)

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        name = function._schema.name.split("::")[1]
        given = tensors((args, kwargs))
        there = [x for x in given if isinstance(x, There)]
        target = kwargs.get("device")
        if name == "to" and len(args) > 1 and isinstance(args[1], torch.device):
            target = args[1]
        if there and name not in CROSSING:
            refuse_mixed(name, args, given)
        on_it = bool(there) if target is None else target == DEVICE
        if on_it and kwargs.get("generator") is not None:
            raise RuntimeError("Expected a generator of the second device")
        if target is not None and "device" in kwargs:
            kwargs["device"] = torch.device("cpu")
        plain_args, plain = tree_map(unwrapped, (tuple(args), kwargs))
        if name == "to" and len(args) > 1 and isinstance(args[1], torch.device):
            plain_args = (plain_args[0], torch.device("cpu"), *plain_args[2:])
        found = function(*plain_args, **plain)
        if name == "_to_copy" and not isinstance(args[0], There) and not on_it:
            return found
        if function._schema.is_mutable and name.endswith("_"):
            return args[0]
        return tree_map(self._wrapped, found) if on_it else found

    def _wrapped(self, x):
        if not isinstance(x, torch.Tensor):
            return x
        if x.dtype == torch.float64 and not self._doubles:
            raise TypeError("the second device has no float64")
        return There(x)


def tensors(values):
    found = []
    tree_map(lambda x: found.append(x) if isinstance(x, torch.Tensor) else None, values)
    return found


def unwrapped(x):
    return x.inner if isinstance(x, There) else x


def refuse_mixed(name, args, given):
    """Numbers without axes may come from the CPU, and indices into what lies there."""
    asked = given
    if name in INDEXING and isinstance(args[0], There):
        asked = [args[0], *(x for x in args[2:] if isinstance(x, torch.Tensor))]
    for x in asked:
        if not isinstance(x, There) and x.dim():
            raise RuntimeError(
                f"{name}: Expected all tensors to be on the same device, but found at "
                f"least two, {DEVICE} and cpu"
            )


def moved(lm):
    """Return a language model whose weights and buffers lie on the second device."""
    import dataclasses

    from llmrank.models.ffn import shared_copy

    model = shared_copy(lm.model)
    for module in model.modules():
        for table, make in (
            (module._parameters, lambda x: torch.nn.Parameter(x, requires_grad=False)),
            (module._buffers, lambda x: x),
        ):
            for key, value in table.items():
                if value is not None:
                    table[key] = make(There(value.detach()))
    tied = getattr(model, "tie_weights", None)
    if tied is not None:
        tied()
    return dataclasses.replace(lm, model=model)
