"""GGUF files: what their headers say, as a configuration, and parts made whole."""

from llmrank.ggufs.configuration import configuration
from llmrank.ggufs.header import Header, check_tensors, read_header
from llmrank.ggufs.parts import parts_of, whole
from llmrank.ggufs.tokenizer import alone, tokenizer

__all__ = [
    "Header",
    "alone",
    "check_tensors",
    "configuration",
    "parts_of",
    "read_header",
    "tokenizer",
    "whole",
]
