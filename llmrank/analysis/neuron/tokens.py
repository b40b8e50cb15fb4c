"""Single tokens as text."""

from collections.abc import Sequence
from typing import Any

_PRINTED = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
_HIDDEN = [byte for byte in range(0x100) if byte not in _PRINTED]
BYTE_OF = {chr(byte): byte for byte in _PRINTED} | {
    chr(0x100 + place): byte for place, byte in enumerate(_HIDDEN)
}
"""The letters in which byte-level vocabularies write bytes (GPT-2's encoder.py)."""


def token_strings(tokenizer: Any, ids: Sequence[int]) -> tuple[str, ...]:
    """Return the text of each token by itself; outside text, to be escaped.

    Each token is decoded alone. SentencePiece decoders swallow the space of a word's
    first token (▁): it is put back. A token that is only a part of a character has no
    text: its bytes are written like <0xE2>, SentencePiece's own way.
    """
    return tuple(_string(tokenizer, i) for i in ids)


def is_text(token: str) -> bool:
    """Whether there is something to read: no blank, no part of a character."""
    return bool(token.strip()) and not token.startswith(("<0x", "<token "))


def _string(tokenizer: Any, token_id: int) -> str:
    piece = tokenizer.convert_ids_to_tokens(token_id)
    if piece is None:
        return f"<token {token_id}>"
    text: str = tokenizer.decode([token_id], clean_up_tokenization_spaces=False)
    if "\N{REPLACEMENT CHARACTER}" in text:
        return _in_bytes(piece)
    if piece.startswith("▁") and not text.startswith(" "):
        return " " + text
    return text


def _in_bytes(piece: str) -> str:
    if piece.startswith("<0x") or not all(letter in BYTE_OF for letter in piece):
        return piece
    return "".join(f"<0x{BYTE_OF[letter]:02X}>" for letter in piece)
