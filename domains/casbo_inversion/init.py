r"""Where a token starts: words that CLIP sees in the pictures, or a given word.

Attention from pictures to words: with unit CLIP features f_i of n pictures and g_w of the words,

.. math:: a_w = \frac{1}{n} \sum_i \mathrm{softmax}_w(f_i \cdot g_w / \tau), \qquad e_0 = \sum_w a_w v_w,

v_w the mean token embedding of word w. As published (*Gradient-Free Textual Inversion*,
https://arxiv.org/abs/2304.05818) there is no temperature: cosines differ by a few tenths, so the
weights are nearly uniform and e_0 is the mean of the vocabulary.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from .clip import Clip
from .encoders import TextPart
from .errors import InversionError
from .vocabulary import checked_words, tokenizer_words, word_embedding

if TYPE_CHECKING:
    from PIL.Image import Image

SHOWN_WORDS = 10


@dataclass(frozen=True, eq=False)
class Start:
    """The embeddings a token starts from.

    Arguments:
        vectors: For each text encoder, with shape (W,), float64.
        words: The words it is made of, with their weights, heaviest first.
    """

    vectors: tuple[Tensor, ...]
    words: tuple[tuple[str, float], ...] = ()


class TokenStart(ABC):
    """How a token starts."""

    @abstractmethod
    def start(
        self, images: Sequence[Image], parts: Sequence[TextPart], tables: Sequence[Tensor]
    ) -> Start:
        """The start for these pictures.

        Arguments:
            images: The pictures to learn from.
            parts: The text encoders.
            tables: Their token tables, each with shape (R, W).

        Raises:
            InversionError: When a word or the CLIP model cannot be used.
        """

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """Everything that defines it, as JSON values."""


@dataclass(frozen=True)
class Word(TokenStart):
    """A word, or a few: the mean embedding of its tokens.

    Arguments:
        word: Such as "toy".
    """

    word: str

    def start(
        self, images: Sequence[Image], parts: Sequence[TextPart], tables: Sequence[Tensor]
    ) -> Start:
        del images
        rows = [word_embedding(p, t, self.word) for p, t in zip(parts, tables, strict=True)]
        return Start(tuple(rows), ((self.word, 1.0),))

    def describe(self) -> dict[str, Any]:
        return {"start": "word", "word": self.word}


@dataclass(frozen=True)
class MeanToken(TokenStart):
    """The mean of the token table, brought to the mean norm of its rows."""

    def start(
        self, images: Sequence[Image], parts: Sequence[TextPart], tables: Sequence[Tensor]
    ) -> Start:
        del images, parts
        norms = [float(table.norm(dim=-1).mean()) for table in tables]
        rows = [with_norm(t.mean(0), norm) for t, norm in zip(tables, norms, strict=True)]
        return Start(tuple(rows))

    def describe(self) -> dict[str, Any]:
        return {"start": "mean"}


@dataclass(frozen=True)
class Attention(TokenStart):
    """The pictures' CLIP features attend to the words of a vocabulary.

    Arguments:
        clip: Folder or hub id of a transformers `CLIPModel`.
        vocabulary: Words; None takes the whole words of the pipeline's tokenizer.
        temperature: tau; None is the published softmax of plain cosines.
        match_norm: Bring e_0 to the mean norm of the words attended to: a mean of words is
            shorter than words are.
        template: What CLIP reads for a word, "{}" standing for it.
        device: Where CLIP runs; None takes CUDA where there is one.
    """

    clip: str
    vocabulary: tuple[str, ...] | None = None
    temperature: float | None = 0.01
    match_norm: bool = True
    template: str = "{}"
    device: str | None = None

    def __post_init__(self) -> None:
        if self.temperature is not None and not self.temperature > 0:
            raise InversionError(
                f"Expected a temperature above 0, or None for none, got {self.temperature}."
            )

    def start(
        self, images: Sequence[Image], parts: Sequence[TextPart], tables: Sequence[Tensor]
    ) -> Start:
        words = self._words(parts)
        clip = Clip(self.clip, self.device)
        texts = clip.texts([self.template.replace("{}", word) for word in words])
        weights = attention(clip.images(images), texts, self.temperature)
        return weighted_start(words, weights, parts, tables, match_norm=self.match_norm)

    def describe(self) -> dict[str, Any]:
        count = None if self.vocabulary is None else len(self.vocabulary)
        return {
            "start": "attention",
            "clip": self.clip,
            "vocabulary": count,
            "temperature": self.temperature,
            "match_norm": self.match_norm,
            "template": self.template,
        }

    def _words(self, parts: Sequence[TextPart]) -> list[str]:
        if self.vocabulary is None:
            return tokenizer_words(parts[0].tokenizer)
        return checked_words(self.vocabulary)


def attention(images: Tensor, texts: Tensor, temperature: float | None) -> Tensor:
    """The weights of words with text features (R, F) for pictures with features (n, F): (R,)."""
    cosines = images.double() @ texts.double().T
    logits = cosines if temperature is None else cosines / temperature
    return logits.softmax(-1).mean(0)


def weighted_start(
    words: Sequence[str],
    weights: Tensor,
    parts: Sequence[TextPart],
    tables: Sequence[Tensor],
    *,
    match_norm: bool,
) -> Start:
    """The weighted sum of the words' embeddings; words of no weight are passed over.

    Arguments:
        words: R words.
        weights: Their weights, with shape (R,), summing to 1.
        parts, tables: As for `TokenStart.start`.
        match_norm: Bring the sum to the weighted mean norm of the words.
    """
    order = weights.argsort(descending=True, stable=True)
    kept = [int(row) for row in order if float(weights[row]) > 1e-8]
    vectors = []
    for part, table in zip(parts, tables, strict=True):
        rows = torch.stack([word_embedding(part, table, words[row]) for row in kept])
        mixed = weights[kept] @ rows
        norm = float(weights[kept] @ rows.norm(dim=-1))
        vectors.append(with_norm(mixed, norm) if match_norm else mixed)
    shown = tuple((words[row], float(weights[row])) for row in kept[:SHOWN_WORDS])
    return Start(tuple(vectors), shown)


def with_norm(vector: Tensor, norm: float) -> Tensor:
    """The vector (W,) brought to a norm; zero stays zero."""
    length = float(vector.norm())
    return vector * (norm / length) if length > 0 else vector


def start_of(init: str | TokenStart, clip: str | None = None) -> TokenStart:
    """The start meant by a word: "attention" (needs a CLIP), "mean", or the word to start from.

    Raises:
        InversionError: When there is no CLIP for attention.
    """
    if isinstance(init, TokenStart):
        return init
    if init == "mean":
        return MeanToken()
    if init != "attention":
        return Word(init)
    if clip is None:
        raise InversionError(
            "Expected a CLIP model to find words for the pictures with: give clip, the folder or "
            "id of a transformers CLIPModel, or a word to start from, or init='mean'."
        )
    return Attention(clip)
