"""Words that a token may start from: a user's list, or the tokenizer's own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .encoders import TextPart
from .errors import InversionError

WORD_END = "</w>"
SHORTEST = 3  # letters of a word of the tokenizer's


def tokenizer_words(tokenizer: Any) -> list[str]:  # noqa: ANN401
    """The tokenizer's whole words, in the order of their ids.

    They are its tokens that end a word, made of three letters or more: about 30,000 for CLIP.

    Raises:
        InversionError: When there are none.
    """
    ordered = sorted(tokenizer.get_vocab().items(), key=lambda entry: entry[1])
    words = [token.removesuffix(WORD_END) for token, _ in ordered if token.endswith(WORD_END)]
    found = [word for word in words if len(word) >= SHORTEST and word.isascii() and word.isalpha()]
    if not found:
        raise InversionError(
            f"Expected a tokenizer with whole words (tokens that end in {WORD_END}), it has none: "
            "give a vocabulary of your own."
        )
    return found


def read_vocabulary(path: str | Path) -> list[str]:
    """The words of a text file, one a line.

    Raises:
        InversionError: When it cannot be read or holds no word.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise InversionError(
            f"Expected a text file with one word a line in {path}, reading it failed ({error})."
        ) from error
    return checked_words([line.strip() for line in lines if line.strip()], str(path))


def checked_words(words: Sequence[str], where: str = "the vocabulary") -> list[str]:
    """The words without repetitions.

    Raises:
        InversionError: When there are none, or something is no text.
    """
    strange = [word for word in words if not isinstance(word, str) or not word.strip()]
    if strange or not words:
        raise InversionError(
            f"Expected words in {where}, got {'none' if not words else repr(strange[0])}."
        )
    return list(dict.fromkeys(words))


def word_embedding(part: TextPart, table: Tensor, word: str) -> Tensor:
    """The mean embedding of a word's tokens, with shape (W,).

    Arguments:
        part: The text encoder.
        table: Its token table.
        word: A word or a few.

    Raises:
        InversionError: When the tokenizer makes nothing of it.
    """
    ids = part.tokenizer(word, add_special_tokens=False).input_ids
    ids = [number for number in ids if number < len(table)]
    unknown = getattr(part.tokenizer, "unk_token_id", None)
    known = [number for number in ids if number != unknown]
    if not known:
        raise InversionError(
            f"Expected a word that the tokenizer can spell, got {word!r}: choose another."
        )
    return table[torch.tensor(known)].mean(0)
