"""Results as plain values and back: the same dataclasses, every number exact."""

import dataclasses
import functools
import types
import typing
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor

from llmrank.core.errors import LLMRankError

T = TypeVar("T")
_hints: Callable[[Any], dict[str, Any]] = functools.cache(typing.get_type_hints)


def plain(value: Any) -> Any:
    """Turn nested results into what JSON can hold.

    Python writes a float with the digits that give the same float back.
    """
    if isinstance(value, Tensor):
        dtype = str(value.dtype).removeprefix("torch.")
        return {"dtype": dtype, "values": value.tolist()}
    if dataclasses.is_dataclass(value):
        fields = dataclasses.fields(value)
        return {f.name: plain(getattr(value, f.name)) for f in fields}
    if isinstance(value, tuple | list):
        return [plain(v) for v in value]
    return value


def rebuilt(kind: type[T], values: Any) -> T:
    """Turn `plain`'s values back into a result of a class.

    A field that this version has not is left out; one that the values have not takes
    its default.

    Raises:
        LLMRankError: the class has changed too much since the values were written.
    """
    try:
        return _rebuilt(kind, values)
    except (TypeError, ValueError, AttributeError) as error:
        raise LLMRankError(
            f"a stored {kind.__name__} was written by another version and cannot be "
            f"read by this one ({str(error)[:120]}); it stays as it is, measure again"
        ) from error


def _rebuilt(kind: Any, values: Any) -> Any:
    if values is None:
        return None
    if isinstance(values, dict) and values.keys() == {"dtype", "values"}:
        return torch.tensor(values["values"], dtype=getattr(torch, values["dtype"]))
    if isinstance(kind, types.UnionType):
        kind = next(k for k in typing.get_args(kind) if k is not types.NoneType)
    if typing.get_origin(kind) is tuple:
        element = typing.get_args(kind)[0]
        if element in (int, float, str):  # samples, of which there are many
            return tuple(values)
        return tuple(_rebuilt(element, v) for v in values)
    if dataclasses.is_dataclass(kind):
        hints = _hints(kind)
        names = [f.name for f in dataclasses.fields(kind) if f.name in values]
        return kind(**{n: _rebuilt(hints[n], values[n]) for n in names})  # type: ignore[operator]
    return values
