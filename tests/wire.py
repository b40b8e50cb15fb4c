"""The browser's numbers, read back from their bytes."""

import json

import numpy as np


def unpacked(packed):
    """Read a payload as the browser does: its header, and its sections by name."""
    assert packed[:4] == b"LLMR"
    at = 8 + int.from_bytes(packed[4:8], "little")
    header = json.loads(packed[8:at])
    values = {}
    for section in header["sections"]:
        kind, shape = np.dtype(f"<{section['kind']}"), section["shape"]
        n = int(np.prod(shape))
        assert at % 4 == 0
        values[section["name"]] = np.frombuffer(packed, kind, n, at).reshape(shape)
        at += -(-n * kind.itemsize // 4) * 4
    assert at == len(packed)
    return header, values
