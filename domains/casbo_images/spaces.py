r"""Control spaces for pictures: the low spatial frequencies of the noise.

What a picture is of, where things stand and what colours it has hang on the low frequencies of the
noise; its texture hangs on all the rest. So a few cosine coefficients of every latent channel
suffice to steer, and all other directions stay N(0, I).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from casbo.spaces import Space, Subspace

from .errors import ImageError

if TYPE_CHECKING:
    from .rollout import DiffusersRollout

#: Cosine coefficients of each channel, lowest frequencies first.
COEFFICIENTS = 10
#: Standard deviation along them at the start.
SCALE = 1.0


def default_space(rollout: DiffusersRollout) -> Space:
    """The space that measured best on the shipped model: docs/images.md has the table."""
    return low_frequencies(rollout)


def low_frequencies(
    rollout: DiffusersRollout, coefficients: int = COEFFICIENTS, scale: float = SCALE
) -> Subspace:
    """Learn the lowest spatial frequencies of every row of noise.

    Arguments:
        rollout: The model.
        coefficients: q, cosine coefficients of each channel; m = C q.
        scale: The standard deviation along them at the start.

    Raises:
        ImageError: When there are not that many.
    """
    shape = rollout.latent_shape
    if len(shape) == 3:
        return Subspace(cosine_basis(shape, coefficients), scale)
    channels, height, width = rollout.unpacked_shape
    basis = cosine_basis((channels, height, width), coefficients)
    grids = basis.T.reshape(-1, channels, height, width)
    packed = rollout.pipe._pack_latents(grids, len(grids), channels, height, width)
    return Subspace(packed.reshape(len(grids), -1).T, scale)


def cosine_basis(shape: tuple[int, ...], coefficients: int) -> Tensor:
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
