r"""Control spaces for pictures: low spatial frequencies, over windows of the steps.

What a picture is of, where things stand and what colours it has hang on the low frequencies of the
noise, its texture on all the rest. And what the start noise leaves open, the noise of the early
steps decides. So a few cosine coefficients of every latent channel, each over a few windows of
consecutive steps, suffice to steer; all other directions stay N(0, I).
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

#: Cosine coefficients of each channel, lowest frequencies first.
COEFFICIENTS = 10
#: Standard deviation along them at the start. A direction that is spread over thousands of numbers
#: moves each by next to nothing when it moves by one.
SCALE = 2.0
#: The share of the steps that the window of the early ones takes.
EARLY_SHARE = 1 / 3


def low_frequencies(
    rollout: DiffusersRollout,
    coefficients: int = COEFFICIENTS,
    scale: float = SCALE,
    edges: Sequence[int] | None = None,
) -> Separable:
    """Learn the lowest spatial frequencies of the noise, in windows of consecutive rows.

    Arguments:
        rollout: The model, with noise of shape (K, D).
        coefficients: q, cosine coefficients of each channel; with W windows m = W C q.
        scale: The standard deviation along them at the start.
        edges: The rows where windows begin, and where the last one ends; None takes those of
            `window_edges`.

    Raises:
        CasboError: When there are not that many coefficients, or the edges fit no K rows.
        RolloutError: When the pipeline packs latents in a way of its own.
    """
    places = rollout.places
    waves = cosine_basis(places.shape, coefficients)
    patterns = torch.empty_like(waves)
    patterns[places.flatten()] = waves
    steps = rollout.shape[0]
    chosen = window_edges(steps, start=rollout.rows[0] == 0) if edges is None else list(edges)
    return Separable(Separable.windows(steps, chosen), patterns, scale)


def window_edges(steps: int, *, start: bool) -> list[int]:
    """The edges of the windows for K rows: the start noise, the early steps, all later ones.

    Arguments:
        steps: K.
        start: Whether the first row is the start noise, which has a window of its own.
    """
    first = int(start)
    early = first + round((steps - first) * EARLY_SHARE)
    return sorted({0, first, early, steps})


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
