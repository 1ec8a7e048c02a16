"""Learned tokens: the embeddings of a placeholder, as diffusers stores and reads them.

One text encoder (Stable Diffusion): ``{placeholder: (V, W)}``. Two (Stable Diffusion XL):
``{"clip_l": (V, W_l), "clip_g": (V, W_g)}``, the layout of diffusers' own SDXL training scripts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor

from .errors import InversionError

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

#: The names of the two text encoders' embeddings in a file for Stable Diffusion XL.
TWO_ENCODERS = ("clip_l", "clip_g")
#: The file name that `pipe.load_textual_inversion(folder)` looks for.
FILE_NAME = "learned_embeds.safetensors"


@dataclass(frozen=True, eq=False)
class LearnedToken:
    """The embeddings that a placeholder stands for.

    Arguments:
        placeholder: The word in prompts, such as "<thing>".
        vectors: For each text encoder its V vectors, with shape (V, W), float32 on the CPU.
        draw: Which of an objective's common random numbers it is scored with: those of an
            iteration, or, when None, those kept for validation.
    """

    placeholder: str
    vectors: tuple[Tensor, ...]
    draw: int | None = None

    @property
    def joined(self) -> Tensor:
        """The vectors of all text encoders side by side, with shape (V, W_1 + W_2)."""
        return torch.cat(self.vectors, dim=-1)

    @property
    def digest(self) -> str:
        """A hash of the vectors, to the bit."""
        numbers = self.joined.contiguous().numpy().tobytes()
        return hashlib.sha256(numbers).hexdigest()[:16]

    def at(self, draw: int | None) -> Self:
        """The same token, to be scored with other random numbers."""
        return replace(self, draw=draw)

    def tensors(self) -> dict[str, Tensor]:
        """The tensors of a file, by name."""
        names = (self.placeholder,) if len(self.vectors) == 1 else TWO_ENCODERS
        return {
            name: rows.contiguous().clone() for name, rows in zip(names, self.vectors, strict=True)
        }

    def save(self, path: str | Path) -> Path:
        """Write a file that `pipe.load_textual_inversion` (or `load_token`) reads.

        Raises:
            casbo.errors.RunFolderError: When it cannot be written.
        """
        from safetensors.torch import save as to_bytes

        from casbo.atomic import write_atomically

        path = Path(path)
        contents = to_bytes(self.tensors(), {"placeholder": self.placeholder})
        write_atomically(path, contents)
        return path

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read what `save` wrote, or a one-encoder file of diffusers.

        Raises:
            InversionError: When the file is missing, damaged or holds something else.
        """
        tensors, placeholder = _read(Path(path))
        if set(tensors) == set(TWO_ENCODERS):
            vectors = tuple(tensors[name] for name in TWO_ENCODERS)
        elif len(tensors) == 1:
            ((name, rows),) = tensors.items()
            placeholder, vectors = placeholder or name, (rows,)
        else:
            raise InversionError(
                f"Expected {path} to hold one embedding, or those of {list(TWO_ENCODERS)}; got "
                f"{sorted(tensors)}."
            )
        rows = tuple(v.float() if v.ndim == 2 else v.float()[None] for v in vectors)
        return cls(placeholder or "<thing>", rows)


def load_token(pipe: DiffusionPipeline, path: str | Path) -> LearnedToken:
    """Load a learned token into a pipeline with one text encoder or two.

    For one text encoder it is `pipe.load_textual_inversion(path)`; for two it is the two calls
    that diffusers documents for Stable Diffusion XL.

    Raises:
        InversionError: When the file cannot be read, or does not fit the pipeline.
    """
    from .encoders import text_parts

    token, parts, pipeline = LearnedToken.load(path), text_parts(pipe), pipe
    if len(parts) != len(token.vectors):
        raise InversionError(
            f"Expected embeddings for {len(parts)} text encoders of {type(pipe).__name__}, got "
            f"{len(token.vectors)} in {path}: a token serves the kind of model it was learned on."
        )
    loading: Any = pipeline
    for rows, part in zip(token.vectors, parts, strict=True):
        try:
            loading.load_textual_inversion(
                {token.placeholder: rows},
                token=token.placeholder,
                text_encoder=part.encoder,
                tokenizer=part.tokenizer,
            )
        except ValueError as error:
            reason = " ".join(str(error).split())
            raise InversionError(f"{path} does not fit this pipeline: {reason}") from error
    return token


def _read(path: Path) -> tuple[Mapping[str, Tensor], str | None]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="pt", device="cpu") as file:
            names = list(file.keys())
            tensors = {name: file.get_tensor(name).clone() for name in names}
            return tensors, (file.metadata() or {}).get("placeholder")
    except (SafetensorError, OSError, ValueError) as error:
        raise InversionError(
            f"Expected learned embeddings in {path}, reading it failed ({error})."
        ) from error
