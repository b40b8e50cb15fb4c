"""The browser's numbers, read back from their bytes."""

import json

import numpy as np


def unpacked(packed):
    """Read a payload as the browser does."""
    assert packed[:4] == b"LLMR"
    size = int.from_bytes(packed[4:8], "little")
    header = json.loads(packed[8 : 8 + size])
    values = np.frombuffer(packed[8 + size :], "<f4")
    return header, values.reshape(len(header["planes"]), -1)
