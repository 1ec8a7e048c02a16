"""The interface of covariance types, and the statistics they are updated with."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Literal, Self

import torch
from torch import Tensor

Form = Literal["precision", "covariance"]


@dataclass(frozen=True)
class Statistics:
    """What an update is made of: A = (1 + shift) I + sum_j c_j z_j z_j^T for each Gaussian.

    Arguments:
        vectors: Whitened vectors z with shape (J, G, m).
        coefficients: c with shape (J, G).
        shift: With shape (G,).
        pooling: Share in [0, 1] of the sum that is replaced by its mean over the Gaussians,
            taken in unwhitened coordinates.
        further: More vectors, the last of the J: kept apart, for joining large tensors copies them.
    """

    vectors: Tensor
    coefficients: Tensor
    shift: Tensor
    pooling: float = 0.0
    further: Tensor | None = None

    @property
    def parts(self) -> tuple[Tensor, ...]:
        """The vectors, in one tensor or two."""
        return (self.vectors,) if self.further is None else (self.vectors, self.further)

    @property
    def joined(self) -> Tensor:
        """The vectors in one tensor, with shape (J, G, m)."""
        return self.vectors if self.further is None else torch.cat(self.parts)


class Covariance(ABC):
    """Covariances Sigma = R R^T of G Gaussians in m coordinates.

    Immutable: every change is a new object, and every method returns new tensors.
    """

    @classmethod
    @abstractmethod
    def identity(
        cls,
        groups: int,
        coordinates: int,
        *,
        dtype: torch.dtype = torch.float64,
        device: torch.device | str = "cpu",
    ) -> Self:
        """G unit covariances in m coordinates."""

    @property
    @abstractmethod
    def shape(self) -> tuple[int, int]:
        """(G, m)."""

    @property
    @abstractmethod
    def width(self) -> int:
        """Free parameters per coordinate, for learning rates: m for Full, r for LowRank, 1."""

    @property
    def pools(self) -> bool:
        """Whether `Statistics.pooling` is possible at a cost like that of the update itself."""
        return True

    @abstractmethod
    def color(self, whitened: Tensor) -> Tensor:
        """R z, with shape (J, G, m), from z with shape (J, G, m)."""

    @abstractmethod
    def whiten(self, vectors: Tensor) -> Tensor:
        """R^{-1} x, with shape (J, G, m), from x with shape (J, G, m)."""

    def gradient(self, whitened: Tensor) -> Tensor:
        """R^{-T} v, with shape (J, G, m): the gradient by u where v is the gradient by z."""
        return self.whiten(whitened)

    def apply(self, vectors: Tensor) -> Tensor:
        """Sigma x, with shape (J, G, m), from x with shape (J, G, m)."""
        return self.color(self.color(vectors))

    @abstractmethod
    def updated(self, statistics: Statistics, form: Form) -> Self:
        """Sigma' = R A^{-1} R^T for form "precision", R A R^T for "covariance"."""

    @abstractmethod
    def pulled(self, keep: float) -> Self:
        """Sigma'^{-1} = keep Sigma^{-1} + (1 - keep) I: the pull to the prior."""

    @abstractmethod
    def shrink(self, vectors: Tensor, keep: float) -> Tensor:
        """keep (keep I + (1 - keep) Sigma)^{-1} x with shape (G, m): the mean's pull to 0."""

    @abstractmethod
    def scaled(self, factor: float | Tensor) -> Self:
        """factor^2 Sigma; the factor is one number or has shape (G,)."""

    @abstractmethod
    def spectrum(self) -> Tensor:
        """Eigenvalues (variances), ascending, with shape (G, r); repeated ones may be left out."""

    @abstractmethod
    def logdet(self) -> Tensor:
        """Log-determinants, with shape (G,)."""

    @abstractmethod
    def variances(self) -> Tensor:
        """Diagonals, with shape (G, m)."""

    @abstractmethod
    def tensors(self) -> dict[str, Tensor]:
        """The tensors that define the covariances, by name."""

    @abstractmethod
    def with_tensors(self, tensors: dict[str, Tensor]) -> Self:
        """The covariances of the same type, options, dtype and device that these define."""

    def settings(self) -> dict[str, Any]:
        """Type and options as JSON values."""
        return {"kind": type(self).__name__}

    def describe(self) -> dict[str, Any]:
        """Type and options as JSON values, with (G, m)."""
        return {**self.settings(), "shape": list(self.shape)}

    def dense(self) -> Tensor:
        """The covariance matrices, with shape (G, m, m)."""
        groups, m = self.shape
        like = self.variances()
        unit = torch.eye(m, dtype=like.dtype, device=like.device)
        columns = self.color(unit[:, None, :].expand(m, groups, m)).transpose(0, 1)
        return columns.mT @ columns
