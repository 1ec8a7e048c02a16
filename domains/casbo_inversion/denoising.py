r"""The denoising loss: how well the model predicts the noise in the pictures, told the new word.

.. math:: \ell(e) = \mathrm{mean}_j \| \hat y(x_{t_j}, t_j, \mathrm{prompt}_j(e)) - y_j \|^2 / d

over tasks j: a picture, a timestep, the noise, the autoencoder's sample and a prompt template; y is what
the model was trained to predict (noise, velocity or the clean latent). Timesteps are stratified.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from casbo.scorer import Direction

from .latents import NoiseSchedule, encode_pictures, size_conditions
from .objective import (
    Common,
    TokenObjective,
    check_settings,
    common_generator,
    normal,
    own_generator,
)
from .pictures import fitted
from .templates import TEMPLATES, checked_templates
from .token import LearnedToken

if TYPE_CHECKING:
    from PIL.Image import Image

    from .encoders import PromptEncoder
    from .rollout import TokenInversion


@dataclass(frozen=True)
class DenoisingLoss(TokenObjective):
    """The denoising loss on the pictures.

    A score in an iteration is the loss minus that of the token the run started from, on the same
    random numbers: negative is better than the start, and iterations can be compared. For
    ``common="none"``, the published form, it is the plain loss. Validation is the plain loss.

    Arguments:
        timesteps: Timesteps of a query, one from each of so many equal parts of the schedule.
        pictures: Pictures that each timestep is tried on; a query costs timesteps x pictures
            forward passes.
        common: "iteration"; "run" keeps one set of random numbers throughout; "none" draws noise
            afresh for every candidate, timesteps and template alone being shared.
        templates: Prompts, with {} for the placeholder.
        levels: The part of the schedule that timesteps are taken from, 0 clean, 1 noise.
        validation: Forward passes of a validation.
        seed: Determines the random numbers.
        microbatch: Forward passes at a time.

    Raises:
        InversionError: When a setting cannot be used.
    """

    timesteps: int = 4
    pictures: int = 1
    common: Common = "iteration"
    templates: tuple[str, ...] = TEMPLATES
    levels: tuple[float, float] = (0.0, 1.0)
    validation: int = 32
    seed: int = 0
    microbatch: int = 32

    def __post_init__(self) -> None:
        counts = ("timesteps", "pictures", "validation", "microbatch")
        check_settings(self.common, self.seed, **{name: getattr(self, name) for name in counts})
        object.__setattr__(self, "templates", checked_templates(self.templates))
        low, high = self.levels
        if not 0 <= low < high <= 1:
            from .errors import InversionError

            raise InversionError(
                f"Expected levels (low, high) with 0 <= low < high <= 1, got {self.levels}."
            )

    def bind(self, inversion: TokenInversion) -> DenoisingScorer:
        return DenoisingScorer(
            self, inversion.encoder, inversion.images, inversion.size, inversion.start_token
        )

    def describe(self) -> dict[str, Any]:
        """All settings that change a score."""
        return {
            "objective": "denoising",
            "timesteps": self.timesteps,
            "pictures": self.pictures,
            "common": self.common,
            "templates": list(self.templates),
            "levels": list(self.levels),
            "validation": self.validation,
            "seed": self.seed,
        }


@dataclass(frozen=True)
class Tasks:
    """S denoising tasks.

    Arguments:
        pictures, timesteps, templates: Numbers of pictures, timesteps, and templates, (S,) each.
        noise: With shape (S, C, h, w), or (N, S, C, h, w) for candidates with noise of their own.
        posterior: The autoencoder's noise, likewise.
    """

    pictures: Tensor
    timesteps: Tensor
    templates: Tensor
    noise: Tensor
    posterior: Tensor


class DenoisingScorer:
    """Scorer: N tokens -> (N,), the denoising loss; see `DenoisingLoss`.

    Arguments:
        settings: The loss's.
        encoder: Reads prompts with tokens.
        images: The pictures.
        size: (width, height) they are brought to.
        start: The token that scores are relative to.
    """

    direction: Direction = "minimize"

    def __init__(
        self,
        settings: DenoisingLoss,
        encoder: PromptEncoder,
        images: Sequence[Image],
        size: tuple[int, int],
        start: LearnedToken,
    ) -> None:
        self.settings, self.encoder, self.start = settings, encoder, start
        pipe = encoder.pipe
        self.prompts = [encoder.prompt(template) for template in settings.templates]
        self.schedule = NoiseSchedule.of(pipe)
        self.latents = encode_pictures(
            pipe, [fitted(image, size) for image in images], settings.microbatch
        )
        self._conditions = size_conditions(pipe, size)
        self._baseline: tuple[int | None, float] = (None, 0.0)

    @property
    def relative(self) -> bool:
        """Whether scores are relative to the start's: once more a query's cost every iteration."""
        return self.settings.common != "none"

    @property
    def forward_passes_per_query(self) -> int:
        """Timesteps x pictures."""
        return self.settings.timesteps * self.settings.pictures

    @property
    def forward_passes_per_validation(self) -> int:
        """As stated in the settings."""
        return self.settings.validation

    def __call__(self, samples: Sequence[LearnedToken]) -> list[float]:
        order = sorted(range(len(samples)), key=lambda n: _draw(samples[n]))
        found: dict[int, float] = {}
        for _, numbers in groupby(order, key=lambda n: _draw(samples[n])):
            rows = list(numbers)
            tokens = [samples[row] for row in rows]
            found |= zip(rows, self._scores(tokens), strict=True)
        return [found[row] for row in range(len(samples))]

    def losses(self, tokens: Sequence[LearnedToken]) -> Tensor:
        """Plain losses of N tokens of one draw, task by task, with shape (N, S)."""
        return self.errors(tokens, self.tasks(tokens))

    def tasks(self, tokens: Sequence[LearnedToken]) -> Tasks:
        """The tasks of tokens of one draw: the same for all, unless the noise is their own."""
        settings, draw = self.settings, tokens[0].draw
        random = common_generator(settings.common, settings.seed, draw)
        count = self.forward_passes_per_query
        parts, templates = settings.timesteps, random.integers(len(settings.templates))
        numbers = np.full(count, templates)
        if draw is None:
            count = parts = settings.validation
            numbers = np.arange(count) % len(settings.templates)
        low, high = settings.levels
        share = low + (high - low) * (np.arange(parts) + random.random(parts)) / parts
        share = np.repeat(share, count // parts)
        last = self.schedule.length - 1
        timesteps = np.minimum((share * self.schedule.length).astype(np.int64), last)
        images = len(self.latents.means)
        rounds = -(-count // images)
        pictures = np.concatenate([random.permutation(images) for _ in range(rounds)])[:count]
        shape = (count, *self.latents.means.shape[1:])
        if draw is None or settings.common != "none":
            noise, posterior = normal(random, *shape), normal(random, *shape)
        else:
            own = [normal(own_generator(settings.seed, t), 2, *shape) for t in tokens]
            noise, posterior = torch.stack(own).unbind(1)
        return Tasks(
            *(torch.from_numpy(n) for n in (pictures, timesteps, numbers)), noise, posterior
        )

    @torch.inference_mode()
    def errors(self, tokens: Sequence[LearnedToken], tasks: Tasks) -> Tensor:
        """Mean squared errors of N tokens on S tasks, with shape (N, S), float64."""
        N, S = len(tokens), len(tasks.timesteps)
        prompts = self._encoded(tokens, tasks)
        rows = torch.arange(N * S).split(self.settings.microbatch)
        errors = [self._errors(row // S, row % S, tasks, prompts) for row in rows]
        return torch.cat(errors).reshape(N, S)

    def describe(self) -> dict[str, Any]:
        """The loss's settings."""
        return self.settings.describe()

    def _scores(self, tokens: Sequence[LearnedToken]) -> list[float]:
        draw = tokens[0].draw
        scores = self.losses(tokens).mean(1)
        if draw is not None and self.relative:
            if self._baseline[0] != draw:
                start = self.start.at(draw)
                self._baseline = draw, float(self.losses([start]).mean())
            scores = scores - self._baseline[1]
        return [float(score) for score in scores]

    def _encoded(
        self, tokens: Sequence[LearnedToken], tasks: Tasks
    ) -> dict[int, tuple[Tensor, ...]]:
        """For every template that occurs, the encoded prompts of all tokens."""
        found = {}
        size = self.settings.microbatch
        for number in sorted(set(tasks.templates.tolist())):
            prompt = self.prompts[number]
            parts = [
                self.encoder.encode([prompt] * len(part), part)
                for part in (tokens[first : first + size] for first in range(0, len(tokens), size))
            ]
            found[number] = tuple(torch.cat(column) for column in zip(*parts, strict=True))
        return found

    def _errors(
        self,
        candidates: Tensor,
        places: Tensor,
        tasks: Tasks,
        prompts: dict[int, tuple[Tensor, ...]],
    ) -> Tensor:
        """Errors of one micro-batch: candidate and task of every row."""
        unet = self.encoder.pipe.unet
        device, dtype = self.encoder.pipe._execution_device, unet.dtype

        def rows(numbers: Tensor) -> Tensor:
            return numbers[candidates, places] if numbers.ndim == 5 else numbers[places]

        pictures, timesteps = tasks.pictures[places], tasks.timesteps[places]
        clean = self.latents.sampled(pictures, rows(tasks.posterior))
        noisy, wanted = self.schedule.task(clean, rows(tasks.noise), timesteps)
        pairs = zip(candidates.tolist(), tasks.templates[places].tolist(), strict=True)
        chosen = [tuple(part[n] for part in prompts[number]) for n, number in pairs]
        context, *pooled = (torch.stack(column) for column in zip(*chosen, strict=True))
        predicted = unet(
            noisy.to(device, dtype),
            timesteps.to(device),
            encoder_hidden_states=context.to(dtype),
            **self._conditions(pooled),
        ).sample
        predicted = predicted[:, : wanted.shape[1]]  # some predict a variance as well
        return (predicted.float().cpu() - wanted).double().square().flatten(1).mean(1)


def _draw(token: LearnedToken) -> int:
    return -1 if token.draw is None else token.draw
