"""Objectives on generated pictures: CLIP likeness to the user's pictures, or any score of pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from casbo.scorer import (
    Direction,
    Scorer,
    describe_scorer,
    read_replies,
    scorer_direction,
)

from .clip import Clip
from .errors import InversionError
from .objective import (
    Common,
    TokenObjective,
    check_settings,
    common_generator,
    normal,
    own_generator,
)
from .templates import checked_templates
from .token import LearnedToken

if TYPE_CHECKING:
    from PIL.Image import Image

    from .encoders import PromptEncoder
    from .rollout import TokenInversion

STEPS = 20
PROMPT = "a photo of a {}"


@dataclass(frozen=True)
class PictureMaker:
    """Makes pictures with learned tokens; the same start noise gives comparable ones.

    Arguments:
        encoder: Reads prompts with tokens; its pipeline makes the pictures.
        size: (width, height).
        steps: Denoising steps.
        guidance_scale: None takes the pipeline's default.
        microbatch: Pictures made at a time.
    """

    encoder: PromptEncoder
    size: tuple[int, int]
    steps: int = STEPS
    guidance_scale: float | None = None
    microbatch: int = 8

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """(C, h, w) of start noise."""
        pipe, (width, height) = self.encoder.pipe, self.size
        factor = pipe.vae_scale_factor
        return pipe.unet.config.in_channels, height // factor, width // factor

    @property
    def forward_passes(self) -> int:
        """Evaluations of the network for one picture: two a step with guidance."""
        guided = self.guidance_scale is None or self.guidance_scale > 1
        return self.steps * (2 if guided else 1)

    def pictures(
        self, tokens: Sequence[LearnedToken], prompts: Sequence[str], noise: Tensor
    ) -> list[Image]:
        """One picture for each of N tokens, prompts and start noises (N, C, h, w)."""
        made: list[Image] = []
        for first in range(0, len(tokens), self.microbatch):
            part = slice(first, first + self.microbatch)
            made += self._batch(tokens[part], list(prompts[part]), noise[part])
        return made

    def previews(
        self, token: LearnedToken, count: int, template: str = PROMPT, seed: int = 0
    ) -> list[Image]:
        """Pictures of one token; the same seed gives every token the same start noise."""
        noise = normal(np.random.default_rng(seed), count, *self.latent_shape)
        prompt = self.encoder.prompt(template)
        return self.pictures([token] * count, [prompt] * count, noise)

    def _batch(
        self, tokens: Sequence[LearnedToken], prompts: list[str], noise: Tensor
    ) -> list[Image]:
        settings = {} if self.guidance_scale is None else {"guidance_scale": self.guidance_scale}
        with self.encoder.using(tokens) as pipe, torch.inference_mode():
            output = pipe(
                prompt=prompts,
                latents=noise.to(pipe._execution_device, pipe.unet.dtype),
                width=self.size[0],
                height=self.size[1],
                num_inference_steps=self.steps,
                # whatever a scheduler draws is the same for every picture of every batch
                generator=[torch.Generator().manual_seed(0) for _ in prompts],
                output_type="pil",
                **settings,
            )
        return list(output.images)


@dataclass(frozen=True, eq=False)
class GeneratedPictures(TokenObjective):
    """A score of pictures as an objective: made with each token from common start noise.

    Arguments:
        scorer: Any scorer of pictures: N pictures -> N numbers. Components are averaged over a
            token's pictures; one failed picture fails its token.
        prompt: A template with {} for the placeholder.
        pictures: Pictures of a query.
        validation: Pictures of a validation.
        steps, guidance_scale: Of the sampling; None takes the inversion's own.
        common: As for `casbo_inversion.DenoisingLoss`, of the start noise.
        seed: Determines the start noise.
    """

    scorer: Scorer
    prompt: str = PROMPT
    pictures: int = 2
    validation: int = 8
    steps: int | None = None
    guidance_scale: float | None = None
    common: Common = "iteration"
    seed: int = 0

    def __post_init__(self) -> None:
        check_settings(
            self.common, self.seed, pictures=self.pictures, validation=self.validation,
            steps=STEPS if self.steps is None else self.steps,
        )  # fmt: skip
        checked_templates(self.prompt)

    def bind(self, inversion: TokenInversion) -> PictureScorer:
        maker = inversion.maker
        maker = PictureMaker(
            maker.encoder,
            maker.size,
            maker.steps if self.steps is None else self.steps,
            maker.guidance_scale if self.guidance_scale is None else self.guidance_scale,
            maker.microbatch,
        )
        return PictureScorer(self, self.scorer, maker)

    def describe(self) -> dict[str, Any]:
        """All settings that change a score."""
        return {
            "objective": "generated pictures",
            "scorer": describe_scorer(self.scorer),
            "prompt": self.prompt,
            "pictures": self.pictures,
            "validation": self.validation,
            "common": self.common,
            "seed": self.seed,
        }


class PictureScorer:
    """Scorer: N tokens -> the mean scores of their pictures; see `GeneratedPictures`."""

    def __init__(self, settings: GeneratedPictures, scorer: Scorer, maker: PictureMaker) -> None:
        self.settings, self.scorer, self.maker = settings, scorer, maker
        self.direction: Direction = scorer_direction(scorer, None)

    @property
    def forward_passes_per_query(self) -> int:
        """Pictures x steps, twice with guidance."""
        return self.settings.pictures * self.maker.forward_passes

    @property
    def forward_passes_per_validation(self) -> int:
        """The same for the pictures of a validation."""
        return self.settings.validation * self.maker.forward_passes

    def prepare(self) -> None:
        """Prepare the score of pictures."""
        prepare = getattr(self.scorer, "prepare", None)
        if callable(prepare):
            prepare()

    def __call__(self, samples: Sequence[LearnedToken]) -> dict[str, list[float]]:
        noises = [self.start_noise(token) for token in samples]
        counts = [len(noise) for noise in noises]
        rows = [token for token, n in zip(samples, counts, strict=True) for _ in range(n)]
        prompt = self.maker.encoder.prompt(self.settings.prompt)
        pictures = self.maker.pictures(rows, [prompt] * len(rows), torch.cat(noises))
        replies = read_replies(self.scorer(pictures), len(pictures))
        names = sorted({name for reply in replies for name in reply.components})
        scores: dict[str, list[float]] = {name: [] for name in names}
        first = 0
        for count in counts:
            own, first = replies[first : first + count], first + count
            for name in names:
                values = [reply.components.get(name, np.nan) for reply in own]
                scores[name].append(float(np.mean(values)))
        return scores

    def start_noise(self, token: LearnedToken) -> Tensor:
        """The start noise of a token's pictures, with shape (P, C, h, w)."""
        settings = self.settings
        count = settings.validation if token.draw is None else settings.pictures
        own = settings.common == "none" and token.draw is not None
        random = (
            own_generator(settings.seed, token)
            if own
            else common_generator(settings.common, settings.seed, token.draw)
        )
        return normal(random, count, *self.maker.latent_shape)

    def describe(self) -> dict[str, Any]:
        """The settings, and the sampling's."""
        sampling = {"steps": self.maker.steps, "guidance_scale": self.maker.guidance_scale}
        return {**self.settings.describe(), **sampling}


class ImageSimilarity:
    """Scorer of pictures: the mean cosine of CLIP features with those of given pictures (CLIP-I).

    Arguments:
        clip: Folder or hub id of a transformers `CLIPModel`.
        images: The pictures to be like.
        device: Where CLIP runs.
    """

    direction: Direction = "maximize"

    def __init__(
        self, clip: str | Path, images: Sequence[Image], device: str | None = None
    ) -> None:
        if not images:
            raise InversionError("Expected pictures to compare with, got none.")
        self.clip = Clip(clip, device)
        self._features = self.clip.images(images)

    def __call__(self, samples: Sequence[Image]) -> list[float]:
        """N pictures -> N mean cosines."""
        mean = self._features.mean(0)
        # element-wise, for a product of matrices would round by the size of the batch
        return [float(value) for value in (self.clip.images(samples) * mean).sum(-1)]

    def describe(self) -> dict[str, Any]:
        """The model."""
        return {"name": "ImageSimilarity", "clip": self.clip.source}


@dataclass(frozen=True)
class ClipImageSimilarity(TokenObjective):
    """CLIP likeness of generated pictures to the user's pictures.

    Arguments:
        clip: Folder or hub id of a transformers `CLIPModel`.
        prompt, pictures, validation, steps, guidance_scale, common, seed: As for
            `GeneratedPictures`.
        device: Where CLIP runs.
    """

    clip: str
    prompt: str = PROMPT
    pictures: int = 2
    validation: int = 8
    steps: int | None = None
    guidance_scale: float | None = None
    common: Common = "iteration"
    seed: int = 0
    device: str | None = None

    def bind(self, inversion: TokenInversion) -> PictureScorer:
        return GeneratedPictures(
            ImageSimilarity(self.clip, inversion.images, self.device),
            prompt=self.prompt,
            pictures=self.pictures,
            validation=self.validation,
            steps=self.steps,
            guidance_scale=self.guidance_scale,
            common=self.common,
            seed=self.seed,
        ).bind(inversion)
