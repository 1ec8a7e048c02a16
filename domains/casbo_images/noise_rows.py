"""The rows of noise that a call of a pipeline takes, and which of them are steered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Literal

import torch
from torch import Tensor

from casbo.controls import base_noise

from .errors import ImageError

#: A stream of base noise that no search and no sampling uses.
FROZEN_STREAM = 2
#: The start noise among the numbers of a scheduler's steps.
START = -1

Steered = Literal["all", "start", "steps"] | Sequence[int]


@dataclass(frozen=True)
class NoiseRows:
    """What a pipeline's call takes as noise, found by running it once.

    Arguments:
        calls: For each row the number of the scheduler's step that takes it; START for the start.
        latent_shape: The shape of one row: that of the latents in the scheduler's steps.
        mixed_shape: The shape of the start noise where the scheduler mixes it with a picture, the
            same numbers unpacked; None where the pipeline takes it as ``latents``.
        dtype: Of the latents.
        size: (width, height) of the pictures.
    """

    calls: tuple[int, ...]
    latent_shape: tuple[int, ...]
    mixed_shape: tuple[int, ...] | None
    dtype: torch.dtype
    size: tuple[int, int]

    @property
    def dim(self) -> int:
        """D, the numbers in a row."""
        return prod(self.latent_shape)

    def filled(self, noise: Tensor, rows: Sequence[int], seed: int) -> dict[int, Tensor]:
        """Noise for every step that takes some: that of the steered rows, fixed for all others.

        Arguments:
            noise: Of the steered rows, with shape (N, K, D).
            rows: Their K numbers.
            seed: Determines the fixed noise, which is the same for every sample.

        Returns:
            The number of each step, and START, -> noise with shape (N, *latent_shape).
        """
        given = dict(zip(rows, noise.unbind(1), strict=True))
        filled = {}
        for row, call in enumerate(self.calls):
            values = given.get(row)
            if values is None:
                fixed = base_noise((1, self.dim), FROZEN_STREAM, seed, row)
                values = fixed.to(noise).expand(len(noise), -1)
            filled[call] = values.reshape(-1, *self.latent_shape).to(self.dtype)
        return filled


def steered_rows(count: int, steered: Steered) -> tuple[int, ...]:
    """The numbers of the rows that are steered, ascending.

    Arguments:
        count: How many there are; row 0 is the start noise.
        steered: "all", "start", "steps" or numbers.

    Raises:
        ImageError: When it is none of these, or there is no such row.
    """
    named = {"all": range(count), "start": range(1), "steps": range(1, count)}
    if isinstance(steered, str):
        if steered not in named:
            raise ImageError(
                f"Expected steered among {list(named)} or row numbers, got {steered!r}."
            )
        if not named[steered]:
            raise ImageError(
                "Expected steps that take noise, none of this schedule does: take more steps or "
                "another scheduler, or steer the start noise alone, steered='start'."
            )
        return tuple(named[steered])
    rows = sorted(set(steered))
    if not rows or any(type(row) is not int or not 0 <= row < count for row in rows):
        raise ImageError(
            f"Expected row numbers from 0 (start noise) to {count - 1}, got {steered!r}."
        )
    return tuple(rows)
