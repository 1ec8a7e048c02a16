r"""Subspaces of the token table: few coordinates in place of an embedding's hundreds.

A token is :math:`e = e_0 + B x`, with the start :math:`e_0` of `casbo_inversion.init`, m coordinates
x for each of its V vectors, and a basis B of shape (W, m). With two text encoders W is the sum of
their widths: one set of coordinates moves both embeddings together. Coordinates start as N(0, I), so
the columns of B carry the scale of the search.

Source of the published form: *Gradient-Free Textual Inversion*, https://arxiv.org/abs/2304.05818.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .errors import InversionError

#: m, unless stated otherwise.
COORDINATES = 64
#: What the paper's code learns, where the table is as wide.
PUBLISHED_COORDINATES = 256


@dataclass(frozen=True, eq=False)
class Basis:
    """A subspace fitted to a table.

    Arguments:
        matrix: B with shape (W, m), float64.
        shift: What is added to every token besides, with shape (W,).
    """

    matrix: Tensor
    shift: Tensor

    def offsets(self, coordinates: Tensor) -> Tensor:
        """What coordinates (..., m) add to the start, with shape (..., W)."""
        return coordinates @ self.matrix.T + self.shift

    def coordinates(self, offsets: Tensor) -> Tensor:
        """The coordinates (..., m) whose offsets are nearest to those given (..., W)."""
        inverse = torch.linalg.pinv(self.matrix)
        return (offsets - self.shift) @ inverse.T


class TokenSubspace(ABC):
    """How a basis is made from the token tables of a pipeline."""

    @abstractmethod
    def fit(self, tables: Sequence[Tensor]) -> Basis:
        """The basis for tables with shapes (R, W_1), (R, W_2): one for each text encoder.

        Raises:
            InversionError: When the subspace does not fit the tables.
        """

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """Everything that defines it, as JSON values."""


@dataclass(frozen=True)
class PcaSubspace(TokenSubspace):
    """The table's m first principal axes, each scaled by the root of its eigenvalue.

    With scale 1, a standard normal x moves a token as far, and in such directions, as words differ
    from one another. What a model needs to draw a new concept often lies farther out, hence the
    default (docs/inversion.md). Two tables are joined side by side, each divided by its own spread,
    so that neither encoder's axes drown the other's.

    Arguments:
        coordinates: m.
        scale: Multiplies the basis: how far the search starts out, in spreads of the words.
        published: Unit axes, unscaled, and the table's mean added to every token.
    """

    coordinates: int = COORDINATES
    scale: float = 4.0
    published: bool = False

    def fit(self, tables: Sequence[Tensor]) -> Basis:
        spreads = [1.0 if self.published else _spread(table) for table in tables]
        joined = _joined([table / s for table, s in zip(tables, spreads, strict=True)])
        width = joined.shape[1]
        _check_coordinates(self.coordinates, width)
        mean = joined.mean(0)
        eigenvalues, axes = torch.linalg.eigh(torch.cov(joined.T).reshape(width, width))
        order = eigenvalues.argsort(descending=True)[: self.coordinates]
        eigenvalues, axes = eigenvalues[order].clamp_min(0), _signed(axes[:, order])
        if self.published:
            return Basis(axes, mean)
        rows = torch.cat(
            [torch.full((t.shape[1],), s) for t, s in zip(tables, spreads, strict=True)]
        )
        matrix = self.scale * rows[:, None].to(axes) * axes * eigenvalues.sqrt()
        return Basis(matrix, torch.zeros_like(mean))

    def describe(self) -> dict[str, Any]:
        return {
            "subspace": "pca",
            "coordinates": self.coordinates,
            "scale": self.scale,
            "published": self.published,
        }


@dataclass(frozen=True)
class RandomSubspace(TokenSubspace):
    """m random directions; a standard normal x moves a token as far as words are apart.

    Arguments:
        coordinates: m.
        scale: Multiplies the basis.
        seed: Determines the directions.
    """

    coordinates: int = COORDINATES
    scale: float = 1.0
    seed: int = 0

    def fit(self, tables: Sequence[Tensor]) -> Basis:
        widths = [table.shape[1] for table in tables]
        _check_coordinates(self.coordinates, sum(widths))
        random = np.random.default_rng(self.seed)
        normal = torch.from_numpy(random.standard_normal((sum(widths), self.coordinates)))
        spread = torch.cat([torch.full((t.shape[1],), _spread(t)) for t in tables]).to(normal)
        prior = spread[:, None] / self.coordinates**0.5
        return Basis(self.scale * prior * normal, torch.zeros(sum(widths), dtype=torch.float64))

    def describe(self) -> dict[str, Any]:
        return {
            "subspace": "random",
            "coordinates": self.coordinates,
            "scale": self.scale,
            "seed": self.seed,
        }


@dataclass(frozen=True, eq=False)
class MatrixSubspace(TokenSubspace):
    """A matrix of one's own.

    Arguments:
        matrix: B with shape (W, m); W is the sum of the widths of all text encoders.
    """

    matrix: Tensor

    def fit(self, tables: Sequence[Tensor]) -> Basis:
        width, matrix = sum(table.shape[1] for table in tables), self.matrix
        if matrix.ndim != 2 or matrix.shape[0] != width or not 1 <= matrix.shape[1] <= width:
            raise InversionError(
                f"Expected a matrix with shape ({width}, m), m from 1 to {width}, for the token "
                f"tables of this pipeline; got shape {tuple(matrix.shape)}."
            )
        if not bool(matrix.isfinite().all()):
            raise InversionError("Expected a matrix of finite numbers, got others in it.")
        return Basis(matrix.detach().double().cpu(), torch.zeros(width, dtype=torch.float64))

    def describe(self) -> dict[str, Any]:
        return {"subspace": "matrix", "matrix": self.matrix}


def _joined(tables: Sequence[Tensor]) -> Tensor:
    rows = {len(table) for table in tables}
    if len(rows) > 1:
        raise InversionError(
            f"Expected text encoders with one vocabulary for a joint PCA, theirs have {sorted(rows)} "
            "words: use the random subspace."
        )
    return torch.cat(list(tables), dim=1)


def _spread(table: Tensor) -> float:
    """The root mean square by which a table's entries differ from the mean word's."""
    return float((table - table.mean(0)).square().mean().sqrt())


def _signed(axes: Tensor) -> Tensor:
    """Axes whose largest entry is positive, so that they do not depend on the solver."""
    largest = axes.abs().argmax(0)
    return axes * axes.gather(0, largest[None]).sign()


def _check_coordinates(coordinates: int, width: int) -> None:
    whole = isinstance(coordinates, int) and not isinstance(coordinates, bool)
    if not whole or not 1 <= coordinates <= width:
        raise InversionError(
            f"Expected from 1 to {width} coordinates, the width of the token table, got "
            f"{coordinates!r}."
        )
