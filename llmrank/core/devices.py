"""Where tensors may lie: the devices that are here, their memory, their limits."""

import torch
from torch import Tensor

from llmrank.core.errors import LLMRankError

WITHOUT_DOUBLES = ["mps"]
"""Kinds of devices that have no float64."""


def pick_device(name: str) -> torch.device:
    """Turn a device name into a device that is there.

    Raises:
        LLMRankError: the device is not there; it names those that are.
    """
    there = ["cpu"]
    if torch.backends.mps.is_available():
        there.insert(0, "mps")
    if torch.cuda.is_available():
        there.insert(0, "cuda")
    if name != "auto" and name not in there:
        raise LLMRankError(
            f"device {name} is not available here; there is: {', '.join(there)}"
        )
    return torch.device(there[0] if name == "auto" else name)


def free_bytes(device: torch.device) -> int | None:
    """Return the memory that is free on a device, or None where it cannot be asked.

    What torch holds of an accelerator's memory without a tensor in it is free, too.
    """
    if device.type == "cuda":
        held = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0]) + held
    if device.type == "mps":
        limit = torch.mps.recommended_max_memory()
        return int(limit - torch.mps.current_allocated_memory())
    if device.type != "cpu":
        return None
    try:
        import psutil
    except ImportError:  # a machine with torch and transformers alone
        return None
    return int(psutil.virtual_memory().available)


def with_doubles(x: Tensor) -> Tensor:
    """Return a tensor where float64 is to be had: on the CPU if not where it lies."""
    return x.cpu() if x.device.type in WITHOUT_DOUBLES else x


def reduces_to_bfloat16(device: torch.device) -> bool:
    """Whether matrices are multiplied faster in bfloat16 than in float32 there."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return False
