"""GGUF files: what their headers say, as a configuration, and parts made whole."""

from llmrank.models.gguf.configuration import configuration
from llmrank.models.gguf.header import Header, check_tensors, read_header
from llmrank.models.gguf.parts import parts_of, whole
from llmrank.models.gguf.tokenizer import alone, tokenizer
