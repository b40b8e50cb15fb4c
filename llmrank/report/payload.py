"""Numbers for the browser: the canvas draws what these bytes hold."""

import json
import zlib
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from llmrank.methods.pruning import PruningPlan
from llmrank.methods.response_planes import EXPONENTS, Planes

MAGIC = b"LLMR"


def pack(name: str, planes: Mapping[str, Sequence[Tensor]], **more: object) -> bytes:
    """Pack planes as `LLMR`, the header's length, the header, float32 values.

    The length is a little-endian uint32. The header is JSON, padded to a multiple of
    four bytes; it names the payload, its planes and each layer's width. Then follow
    the planes, each with all layers one after another (`assets/common/payload.js`
    reads them).

    Args:
        name: under which the browser keeps the payload.
        planes: one vector per layer for each plane; all have the same widths.
        more: what else the header says, as JSON knows it.

    Raises:
        ValueError: no plane, or planes of different widths.
    """
    every = {tuple(len(layer) for layer in plane) for plane in planes.values()}
    if len(every) != 1:
        raise ValueError("all planes must have the same widths, and there must be one")
    widths = every.pop()
    header = {"name": name, "planes": list(planes), "widths": widths, **more}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 4)
    values = b"".join(_float32(torch.cat(tuple(plane))) for plane in planes.values())
    return MAGIC + len(text).to_bytes(4, "little") + text + values


def of_planes(name: str, planes: Planes) -> bytes:
    """Pack response planes with what their weights are made of, and their error."""
    by_number = {
        str(k): [layer[k] for layer in planes.layers]
        for k in range(len(planes.layers[0]))
    }
    exponents = EXPONENTS[planes.graph]
    return pack(name, by_number, exponents=exponents, error=max(planes.errors))


def cut_crc(plan: PruningPlan) -> int:
    """Return the CRC-32 of which neurons are dropped, one byte each, layer by layer.

    The browser computes the same of its own cut: equal numbers, equal neurons.
    """
    flags = [torch.zeros(n, dtype=torch.uint8) for n in plan.dense_widths]
    for flag, drop in zip(flags, plan.drop, strict=True):
        flag[drop] = 1
    return zlib.crc32(torch.cat(flags).numpy().tobytes())


def _float32(values: Tensor) -> bytes:
    return values.detach().cpu().float().numpy().astype("<f4").tobytes()
