r"""Control spaces for pictures: low spatial frequencies, over windows of the steps.

What a picture is of, where things stand and what colours it has hang on the low frequencies of the
noise, its texture on all the rest. And what the start noise leaves open, the noise of the steps
decides. So the lowest cosine coefficients of every latent channel, of the start noise and of all
steps together, suffice to steer; all other directions stay N(0, I).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from casbo.separable import Separable

from .errors import ImageError

if TYPE_CHECKING:
    from .rollout import DiffusersRollout

#: Cosine coefficients of each channel at most, lowest frequencies first: a picture of 8 x 8.
COEFFICIENTS = 64
#: Coordinates of the space at most.
LARGEST_SPACE = 768
#: Standard deviation along them at the start.
SCALE = 1.0


def low_frequencies(
    rollout: DiffusersRollout,
    coefficients: int | None = None,
    scale: float = SCALE,
    edges: Sequence[int] | None = None,
) -> Separable:
    """Learn the lowest spatial frequencies of the noise, in windows of consecutive rows.

    Arguments:
        rollout: The model, with noise of shape (K, D).
        coefficients: q, cosine coefficients of each channel; with W windows m = W C q. None takes
            as many as `default_coefficients` says.
        scale: The standard deviation along them at the start.
        edges: The rows where windows begin, and where the last one ends; None takes those of
            `window_edges`.

    Raises:
        CasboError: When there are not that many coefficients, or the edges fit no K rows.
        RolloutError: When the pipeline packs latents in a way of its own.
    """
    places = rollout.places
    steps = rollout.shape[0]
    chosen = window_edges(steps, start=rollout.rows[0] == 0) if edges is None else list(edges)
    if coefficients is None:
        coefficients = default_coefficients(places.shape, windows=len(chosen) - 1)
    waves = cosine_basis(places.shape, coefficients)
    patterns = torch.empty_like(waves)
    patterns[places.flatten()] = waves
    return Separable(Separable.windows(steps, chosen), patterns, scale)


def default_coefficients(shape: Sequence[int], *, windows: int) -> int:
    """q for latents (C, h, w): 64, or all there are, or as many as keep the space small."""
    channels, height, width = shape
    affordable = max(1, LARGEST_SPACE // (windows * channels))
    return min(COEFFICIENTS, height * width, affordable)


def window_edges(steps: int, *, start: bool) -> list[int]:
    """The edges of the windows for K rows: the start noise by itself, and all steps together.

    Arguments:
        steps: K.
        start: Whether the first row is the start noise.
    """
    return sorted({0, int(start), steps})


def cosine_basis(shape: Sequence[int], coefficients: int) -> Tensor:
    """The lowest spatial frequencies of each channel as an orthonormal basis.

    Arguments:
        shape: (C, h, w) of a latent.
        coefficients: q, frequencies for each channel, in the order of their length.

    Returns:
        P with shape (C h w, C q), float64.

    Raises:
        ImageError: When a channel has not that many.
    """
    channels, height, width = shape
    if not 1 <= coefficients <= height * width:
        raise ImageError(
            f"Expected 1 to {height * width} cosine coefficients for latents of {height} x "
            f"{width}, got {coefficients}."
        )
    pairs = sorted(
        ((u, v) for u in range(height) for v in range(width)),
        key=lambda pair: ((pair[0] / height) ** 2 + (pair[1] / width) ** 2, pair),
    )
    rows, columns = _cosines(height), _cosines(width)
    waves = [torch.outer(rows[u], columns[v]).flatten() for u, v in pairs[:coefficients]]
    return torch.kron(torch.eye(channels, dtype=torch.float64), torch.stack(waves, dim=1))


def _cosines(length: int) -> Tensor:
    """The orthonormal cosine transform (type II): row u is the wave of u half periods."""
    places = (torch.arange(length, dtype=torch.float64) + 0.5) / length
    waves = torch.cos(math.pi * torch.outer(torch.arange(length, dtype=torch.float64), places))
    waves *= math.sqrt(2 / length)
    waves[0] /= math.sqrt(2)
    return waves
