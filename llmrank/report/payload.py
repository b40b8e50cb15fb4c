"""Numbers for the browser: the canvas draws what these bytes hold."""

import json
import zlib
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from llmrank.methods.pruning import PruningPlan, drop_mask
from llmrank.methods.response_planes import EXPONENTS, Planes

MAGIC = b"LLMR"
_KINDS = {torch.uint8: "u1", torch.int8: "i1", torch.float32: "f4", torch.int32: "i4"}


def pack(name: str, sections: Mapping[str, Tensor], **facts: object) -> bytes:
    """Pack tensors as `LLMR`, the header's length, the header, the values.

    The length is a little-endian uint32; the header is JSON and names each section
    with its kind and shape; header and sections are padded to four bytes
    (`assets/common/payload.js` reads them). The browser keeps them under their name.
    """
    listed = [
        {"name": key, "kind": _KINDS[values.dtype], "shape": list(values.shape)}
        for key, values in sections.items()
    ]
    text = _padded(json.dumps({"name": name, "sections": listed, **facts}).encode())
    body = b"".join(
        _padded(v.detach().cpu().numpy().astype(f"<{_KINDS[v.dtype]}").tobytes())
        for v in sections.values()
    )
    return MAGIC + len(text).to_bytes(4, "little") + text + body


def of_planes(
    name: str, planes: Mapping[str, Sequence[Tensor]], **facts: object
) -> bytes:
    """Pack planes, one number for each neuron, with their names and layers' widths.

    Raises:
        ValueError: no plane, or planes of different widths.
    """
    every = {tuple(len(layer) for layer in plane) for plane in planes.values()}
    if len(every) != 1:
        raise ValueError("all planes must have the same widths, and there must be one")
    values = torch.stack([torch.cat(tuple(plane)).float() for plane in planes.values()])
    widths = every.pop()
    return pack(name, {"planes": values}, names=list(planes), widths=widths, **facts)


def of_response_planes(name: str, planes: Planes) -> bytes:
    """Pack response planes with what their weights are made of, and their error."""
    by_number = {
        str(k): [layer[k] for layer in planes.layers]
        for k in range(len(planes.layers[0]))
    }
    exponents = EXPONENTS[planes.graph]
    return of_planes(name, by_number, exponents=exponents, error=max(planes.errors))


def cut_crc(plan: PruningPlan) -> int:
    """Return the CRC-32 of which neurons are dropped, one byte each, layer by layer.

    The browser computes the same of its own cut: equal numbers, equal neurons.
    """
    flags = [*map(drop_mask, plan.dense_widths, plan.keep)]
    return zlib.crc32(torch.cat(flags).numpy().tobytes())


def _padded(content: bytes) -> bytes:
    return content + b" " * (-len(content) % 4)
