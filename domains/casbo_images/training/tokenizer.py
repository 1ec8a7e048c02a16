"""A tokenizer in CLIP's format with one token for each word of the captions."""

from __future__ import annotations

import string
from collections.abc import Iterable

from transformers import CLIPTokenizer

from ..scenes.caption import vocabulary

START, END, WORD_END = "<|startoftext|>", "<|endoftext|>", "</w>"
LENGTH = 24  # tokens of a prompt
CHARACTERS = string.ascii_lowercase + string.digits + string.punctuation


def new_tokenizer(words: Iterable[str] | None = None) -> CLIPTokenizer:
    """A byte-pair tokenizer that joins each of the words to one token and spells all others.

    Arguments:
        words: Lower-case words; the vocabulary of the captions by default.
    """
    words = vocabulary() if words is None else list(words)
    merges: list[tuple[str, str]] = []
    tokens = [START, END, *CHARACTERS, *(c + WORD_END for c in CHARACTERS)]
    for word in words:
        parts = [*word[:-1], word[-1] + WORD_END]
        while len(parts) > 1:  # from the end: only this word's own letters meet its last token
            pair = (parts[-2], parts[-1])
            parts[-2:] = ["".join(pair)]
            if pair not in merges:
                merges.append(pair)
                tokens.append(parts[-1])
    vocab = {token: number for number, token in enumerate(dict.fromkeys(tokens))}
    return CLIPTokenizer(vocab=vocab, merges=merges, model_max_length=LENGTH)
