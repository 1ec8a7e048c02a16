r"""Token inversion: a new word for what a few pictures show, as one step of noise.

A rollout with K = 1. Its samples are tokens: the noise x ~ N(0, I) of V m coordinates moves the V
vectors of the placeholder through a subspace of the token table, :math:`e_v = e_0 + B x_v`.
Steering the noise is learning the word. Source: *Gradient-Free Textual Inversion*,
https://arxiv.org/abs/2304.05818; *An Image is Worth One Word*, https://arxiv.org/abs/2208.01618.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor

from casbo.errors import RolloutError
from casbo.rollout import Rollout, Trajectories, to_json

from .denoising import DenoisingLoss
from .encoders import PromptEncoder
from .errors import InversionError
from .generation import PROMPT, STEPS, PictureMaker
from .init import TokenStart, start_of
from .objective import TokenObjective, TokenScorer
from .pictures import grid, image_digest, markup, png_bytes, read_pictures
from .subspace import PcaSubspace, TokenSubspace
from .templates import checked_templates
from .token import LearnedToken

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline
    from PIL.Image import Image

    from casbo.controls import Controls

PREVIEWS = 4  # pictures of a token in the report


class TokenInversion(Rollout):
    """The tokens of a placeholder, as a function of noise with shape (N, 1, V m).

    `casbo.steer(inversion, inversion.objective, queries=...)` learns one; `casbo_inversion.invert`
    chooses the best on validation as well. The pipeline given is not changed.

    Arguments:
        pipe: A Stable Diffusion pipeline (1, 2 or XL).
        images: The pictures to learn from: a folder, or a list of files or PIL images.
        placeholder: The new word; the model must not know it.
        init: "attention" (needs ``clip``), "mean", a word, or a `TokenStart`.
        subspace: A `TokenSubspace`; by default the table's 64 first principal axes.
        objective: A `TokenObjective`; by default the denoising loss.
        vectors: V, how many vectors the placeholder stands for.
        clip: Folder or hub id of a transformers `CLIPModel`, for "attention".
        size: (width, height) of pictures; None takes the pipeline's own.
        steps, guidance_scale, prompt: Of the pictures made for the report.
        microbatch: Pictures made at a time.

    Raises:
        InversionError: When something given cannot be used.
    """

    def __init__(
        self,
        pipe: DiffusionPipeline,
        images: str | Path | Sequence[Image | str | Path],
        placeholder: str = "<thing>",
        *,
        init: str | TokenStart = "attention",
        subspace: TokenSubspace | None = None,
        objective: TokenObjective | None = None,
        vectors: int = 1,
        clip: str | Path | None = None,
        size: tuple[int, int] | None = None,
        steps: int = STEPS,
        guidance_scale: float | None = None,
        prompt: str = PROMPT,
        microbatch: int = 8,
    ) -> None:
        self.encoder = PromptEncoder(pipe, placeholder, vectors)
        self.images = read_pictures(images)
        (self.prompt,) = checked_templates(prompt)
        self.subspace = _usual_subspace(self.encoder) if subspace is None else subspace
        tables = [part.table for part in self.encoder.parts]
        self.basis = self.subspace.fit(tables)
        self.init = start_of(init, None if clip is None else str(clip))
        self.start = self.init.start(self.images, self.encoder.parts, tables)
        self.vectors, self._draw = vectors, None
        self.shape = (1, vectors * self.basis.matrix.shape[1])
        self.size = _size(self.encoder.pipe) if size is None else size
        self.maker = PictureMaker(self.encoder, self.size, steps, guidance_scale, microbatch)
        self.objective: TokenScorer = (objective or DenoisingLoss()).bind(self)

    @property
    def placeholder(self) -> str:
        """The new word."""
        return self.encoder.placeholder

    @property
    def words(self) -> tuple[tuple[str, float], ...]:
        """The words the token starts from with their weights, heaviest first."""
        return self.start.words

    @property
    def start_token(self) -> LearnedToken:
        """The token that learning starts from, noise 0."""
        return self.tokens(torch.zeros(1, self.shape[1], dtype=torch.float64))[0]

    def tokens(self, coordinates: Tensor) -> list[LearnedToken]:
        """The tokens of coordinates with shape (N, V m)."""
        x = coordinates.detach().double().cpu().reshape(len(coordinates), self.vectors, -1)
        start = torch.cat(self.start.vectors)
        # row by row, for a product of matrices may round by the number of its rows
        rows = [(start + self.basis.offsets(row)).float() for row in x]
        widths = self.encoder.widths
        return [
            LearnedToken(
                self.placeholder,
                tuple(part.contiguous() for part in row.split(widths, dim=-1)),
                self._draw,
            )
            for row in rows
        ]

    def coordinates(self, token: LearnedToken) -> Tensor:
        """The noise (1, V m) whose token is nearest to one given."""
        offsets = token.joined.double() - torch.cat(self.start.vectors)
        return self.basis.coordinates(offsets).reshape(self.shape)

    def mean_token(self, controls: Controls) -> LearnedToken:
        """The token at the mean of what was learned."""
        return self.tokens(controls.space.mean_noise(controls.mean, self.shape))[0]

    def at(self, iteration: int) -> Self:
        """The same, its tokens to be scored with the random numbers of an iteration."""
        other = copy.copy(self)
        other._draw = iteration
        return other

    def __call__(self, noise: Tensor, *, predict: Sequence[int] = ()) -> Trajectories:
        if noise.ndim != 3 or noise.shape[1:] != self.shape or predict:
            raise RolloutError(
                f"Expected noise with shape (N, 1, {self.shape[1]}) and no steps to predict at, got "
                f"{tuple(noise.shape)} and {tuple(predict)}."
            )
        return Trajectories(self.tokens(noise[:, 0]))

    def export(
        self,
        samples: Sequence[LearnedToken],
        scores: Sequence[Mapping[str, float]],
        folder: Path,
    ) -> list[Path]:
        """A file that diffusers reads for every token, pictures of it, and ``scores.json``."""
        from casbo.atomic import write_atomically

        folder.mkdir(parents=True, exist_ok=True)
        written, rows = [], []
        for rank, (token, score) in enumerate(zip(samples, scores, strict=True)):
            name = f"{rank:03d}.safetensors"
            written.append(token.save(folder / name))
            rows.append({"file": name, "token": token.digest, "scores": to_json(score)})
            picture = folder / f"{rank:03d}.png"
            write_atomically(picture, png_bytes(self.preview(token)))
            written.append(picture)
        table = folder / "scores.json"
        write_atomically(table, (json.dumps(rows, indent=1) + "\n").encode())
        return [*written, table]

    def identify(self, sample: LearnedToken) -> str:
        return sample.digest

    def picture(self, sample: LearnedToken) -> str:
        return markup(self.preview(sample))

    def preview(self, token: LearnedToken, template: str | None = None) -> Image:
        """A row of pictures of a token; the same start noise for every token."""
        made = self.maker.previews(token, PREVIEWS, template or self.prompt)
        return grid(made, PREVIEWS)

    def describe(self) -> dict[str, Any]:
        return {
            **super().describe(),
            "pipeline": type(self.encoder.pipe).__name__,
            "model": str(getattr(self.encoder.pipe.config, "_name_or_path", "")),
            "dtype": str(self.encoder.pipe.unet.dtype),
            "placeholder": self.placeholder,
            "pictures": [image_digest(image) for image in self.images],
            "init": self.init.describe(),
            "words": [[word, round(weight, 6)] for word, weight in self.words],
            "subspace": self.subspace.describe(),
            "vectors": self.vectors,
            "size": list(self.size),
        }


def _usual_subspace(encoder: PromptEncoder) -> PcaSubspace:
    """The default, no wider than the token tables."""
    return PcaSubspace(min(PcaSubspace.coordinates, sum(encoder.widths)))


def _size(pipe: Any) -> tuple[int, int]:  # noqa: ANN401
    """(width, height) of a pipeline's pictures."""
    unet = getattr(pipe, "unet", None)
    side = None if unet is None else getattr(unet.config, "sample_size", None)
    if not isinstance(side, int):
        raise InversionError(
            f"Expected a pipeline with a UNet that states the size of its pictures, "
            f"{type(pipe).__name__} does not: give size=(width, height)."
        )
    return side * pipe.vae_scale_factor, side * pipe.vae_scale_factor
