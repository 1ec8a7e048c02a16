"""The text encoders of a pipeline, reading prompts in which every row has embeddings of its own.

The placeholder is never added to the pipeline: copies of its tokenizers know the placeholder, under
the very ids that `load_textual_inversion` would give it, and while a batch is encoded two hooks on
each token table put the candidates' vectors where those ids stand. Afterwards the pipeline is
what it was, and what was encoded is what a pipeline with the exported file would encode.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from .errors import InversionError
from .templates import filled
from .token import LearnedToken

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline


@dataclass(frozen=True)
class TextPart:
    """A text encoder with its tokenizer, under the pipeline's names for them.

    Arguments:
        tokenizer_name: "tokenizer" or "tokenizer_2".
        tokenizer: The tokenizer.
        encoder: The text encoder.
    """

    tokenizer_name: str
    tokenizer: Any
    encoder: Any

    @property
    def table(self) -> Tensor:
        """The token embeddings of the tokenizer's words, with shape (R, W), float64 on the CPU."""
        weight: Tensor = self.encoder.get_input_embeddings().weight
        return weight.detach()[: len(self.tokenizer)].double().cpu()


def text_parts(pipe: DiffusionPipeline) -> tuple[TextPart, ...]:
    """The text encoders of a Stable Diffusion pipeline, one or two.

    Raises:
        InversionError: When it has none, or one that is no CLIP text encoder.
    """
    parts = []
    for suffix in ("", "_2", "_3"):
        encoder = getattr(pipe, f"text_encoder{suffix}", None)
        tokenizer = getattr(pipe, f"tokenizer{suffix}", None)
        if encoder is not None and tokenizer is not None:
            parts.append(TextPart(f"tokenizer{suffix}", tokenizer, encoder))
    if not parts:
        raise InversionError(
            f"Expected a pipeline with a text encoder and its tokenizer, {type(pipe).__name__} has "
            "none: there is no token table to learn a word for."
        )
    strange = [type(part.encoder).__name__ for part in parts if not _is_clip(part.encoder)]
    if strange or len(parts) > 2:
        raise InversionError(
            "Expected a pipeline with one or two CLIP text encoders (Stable Diffusion 1, 2 or XL), "
            f"{type(pipe).__name__} has {', '.join(type(part.encoder).__name__ for part in parts)}."
        )
    return tuple(parts)


def _is_clip(encoder: object) -> bool:
    return type(encoder).__name__ in {"CLIPTextModel", "CLIPTextModelWithProjection"}


class PromptEncoder:
    """Encodes prompts with a placeholder, every row with vectors of its own.

    Arguments:
        pipe: The pipeline; it is not changed.
        placeholder: A word that its tokenizers do not know.
        vectors: V, how many embeddings the placeholder stands for.

    Raises:
        InversionError: When the pipeline has no text encoder of a known kind, the placeholder is
            in a vocabulary already or no word of its own.
    """

    def __init__(self, pipe: DiffusionPipeline, placeholder: str, vectors: int = 1) -> None:
        self.parts = text_parts(pipe)
        self.placeholder, self.vectors = placeholder, _checked_count(vectors)
        self.pipe: Any = copy.copy(pipe)
        self.pipe.set_progress_bar_config(disable=True)
        # a scheduler counts its steps
        self.pipe.scheduler = copy.deepcopy(getattr(pipe, "scheduler", None))
        for part in self.parts:
            known = copy.deepcopy(part.tokenizer)
            self._add_placeholder(known)
            setattr(self.pipe, part.tokenizer_name, known)
        _check_untouched(pipe, self.parts)

    @property
    def widths(self) -> tuple[int, ...]:
        """W of every text encoder."""
        return tuple(part.encoder.get_input_embeddings().weight.shape[-1] for part in self.parts)

    @contextmanager
    def using(self, tokens: Sequence[LearnedToken]) -> Iterator[Any]:
        """A pipeline in which row n of every batch of N prompts reads token n.

        Batches of other sizes must not contain the placeholder.
        """
        with ExitStack() as hooks:
            for number, part in enumerate(self.parts):
                rows = torch.stack([token.vectors[number] for token in tokens])
                hooks.enter_context(_replaced(part.encoder, len(part.tokenizer), rows))
            yield self.pipe

    def encode(self, prompts: Sequence[str], tokens: Sequence[LearnedToken]) -> tuple[Tensor, ...]:
        """Prompt n with token n, by the pipeline's own `encode_prompt`.

        Returns the hidden states (N, L, C), and, for Stable Diffusion XL, the pooled ones (N, P).
        """
        with self.using(tokens) as pipe, torch.inference_mode():
            encoded = pipe.encode_prompt(
                prompt=list(prompts),
                device=pipe._execution_device,
                num_images_per_prompt=1,
                do_classifier_free_guidance=False,
            )
        return (encoded[0],) if len(encoded) == 2 else (encoded[0], encoded[2])

    def prompt(self, template: str) -> str:
        """The prompt of a template, {} being the placeholder.

        Raises:
            InversionError: When it is so long that the placeholder is cut off.
        """
        text = filled(template, self.placeholder)
        for part in self.parts:
            tokenizer = getattr(self.pipe, part.tokenizer_name)
            length = tokenizer.model_max_length
            whole = self.pipe.maybe_convert_prompt(text, tokenizer)
            ids = tokenizer(whole, truncation=True, max_length=length).input_ids
            if sum(number >= len(part.tokenizer) for number in ids) < self.vectors:
                raise InversionError(
                    f"Expected a prompt of at most {length} tokens with the placeholder's "
                    f"{self.vectors} among them, got {text!r}: the placeholder is cut off."
                )
        return text

    def _add_placeholder(self, tokenizer: Any) -> None:  # noqa: ANN401
        names = [self.placeholder, *(f"{self.placeholder}_{i}" for i in range(1, self.vectors))]
        word, vocabulary = self.placeholder, tokenizer.get_vocab()
        if not isinstance(word, str) or not word or word != "".join(word.split()):
            raise InversionError(
                f"Expected a placeholder that is one word without spaces, got {word!r}."
            )
        # a word that a tokenizer joins to one token of its own is a known word too
        spelt = tokenizer.tokenize(word)
        if set(names) & set(vocabulary) or f"{word}_1" in vocabulary or len(spelt) == 1:
            raise InversionError(
                f"Expected a placeholder that the model does not know, {word!r} is in its "
                "vocabulary already: choose another, such as '<my-thing>'."
            )
        for name in names:
            tokenizer.add_tokens(name)


@contextmanager
def _replaced(encoder: Any, first_id: int, rows: Tensor) -> Iterator[None]:  # noqa: ANN401
    """While open, ids from `first_id` on stand for the vectors rows (N, V, W) of their own row."""
    embedding = encoder.get_input_embeddings()
    seen: list[Tensor] = []

    def known_ids(module: Any, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:  # noqa: ANN401
        del module
        seen.append(inputs[0])
        return (inputs[0].masked_fill(inputs[0] >= first_id, 0),)

    def own_vectors(module: Any, inputs: Any, output: Tensor) -> Tensor:  # noqa: ANN401
        del module, inputs
        ids = seen.pop()
        places = ids >= first_id
        if not bool(places.any()):
            return output
        assert len(ids) == len(rows), "a batch with placeholders has one token for each row"
        row = torch.arange(len(ids), device=ids.device)[:, None].expand_as(ids)
        output = output.clone()
        output[places] = rows.to(output)[row[places], (ids - first_id)[places]]
        return output

    with ExitStack() as hooks:
        for handle in (
            embedding.register_forward_pre_hook(known_ids),
            embedding.register_forward_hook(own_vectors),
        ):
            hooks.callback(handle.remove)
        yield


def _check_untouched(pipe: Any, parts: Sequence[TextPart]) -> None:  # noqa: ANN401
    """The pipeline given still has its own tokenizers."""
    for part in parts:
        assert getattr(pipe, part.tokenizer_name) is part.tokenizer


def _checked_count(vectors: int) -> int:
    if isinstance(vectors, bool) or not isinstance(vectors, int) or vectors < 1:
        raise InversionError(f"Expected at least one vector per token, got {vectors!r}.")
    return vectors
