"""Dense covariances."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from casbo.covariance.algebra import (
    SMALLEST_FACTOR,
    bounded,
    clipped,
    plus_identity,
    power,
    pulled_variance,
    symmetric,
)
from casbo.covariance.base import Covariance, Form, Statistics
from casbo.covariance.span import Span

#: Up to so many coordinates the root is the symmetric one, by an eigen-decomposition an update.
LARGEST_SYMMETRIC = 40
#: Up to so many coordinates pooling over the Gaussians costs little: it takes dense products.
LARGEST_POOLED = 128
#: Columns of recent updates that are kept apart from the root, as a share of the coordinates.
RECENT = 1 / 4
#: R is scaled anew when the mean log-variance of R B is so far from zero: it must not overflow.
LARGEST_DRIFT = 20.0


@dataclass(frozen=True)
class Full(Covariance):
    """Dense covariances, held as a root and its inverse: Sigma = s^2 R B (R B)^T.

    B = I + W M W^T gathers recent updates, as the WY form does for reflections (Bischof and Van
    Loan, SIAM J. Sci. Stat. Comput. 8, 1987): an update of J vectors changes W and M alone, at a
    cost of O(m J (r + J)); once W is full, B is multiplied into R, at a cost of O(m^2) a column.
    Pooling takes dense products of cost O(m^3), and a pull to the prior does where it is not 1.
    Up to `LARGEST_SYMMETRIC` coordinates R is the symmetric root instead.

    Arguments:
        variance: s^2, with shape (G,).
        root: R, with shape (G, m, m).
        inverse: R^{-1}, with shape (G, m, m).
        logdets: Log-determinants of R B (R B)^T, with shape (G,).
        recent: W, with shape (G, m, r).
        forward: M, with shape (G, r, r).
        backward: M of B^{-1} = I + W M W^T, with shape (G, r, r).
    """

    variance: Tensor
    root: Tensor
    inverse: Tensor
    logdets: Tensor
    recent: Tensor
    forward: Tensor
    backward: Tensor

    @classmethod
    def identity(
        cls,
        groups: int,
        coordinates: int,
        *,
        dtype: torch.dtype = torch.float64,
        device: torch.device | str = "cpu",
    ) -> Self:
        unit = torch.eye(coordinates, dtype=dtype, device=device).repeat(groups, 1, 1)
        return cls._of(unit, unit, torch.zeros(groups, dtype=dtype, device=device))

    @classmethod
    def from_spectrum(cls, eigenvalues: Tensor, vectors: Tensor) -> Self:
        """The covariances with these eigenvalues (G, m) and eigenvectors (G, m, m, in columns)."""
        top = eigenvalues.max(-1, keepdim=True).values * torch.finfo(eigenvalues.dtype).eps
        eigenvalues = bounded(eigenvalues.maximum(top))
        root = (vectors * eigenvalues.sqrt()[:, None, :]) @ vectors.mT
        inverse = (vectors * eigenvalues.rsqrt()[:, None, :]) @ vectors.mT
        return cls._of(root, inverse, eigenvalues.log().sum(-1))

    @classmethod
    def _of(cls, root: Tensor, inverse: Tensor, logdets: Tensor) -> Self:
        none = root[:, :, :0]
        return cls(
            torch.ones_like(logdets), root, inverse, logdets, none, none[:, :0], none[:, :0]
        )

    @property
    def shape(self) -> tuple[int, int]:
        return self.root.shape[0], self.root.shape[1]

    @property
    def width(self) -> int:
        return self.shape[1]

    @property
    def pools(self) -> bool:
        return self.shape[1] <= LARGEST_POOLED

    def color(self, whitened: Tensor) -> Tensor:
        y = whitened.transpose(0, 1) * self._deviation
        return (self._mixed(y, self.forward.mT) @ self.root.mT).transpose(0, 1)

    def whiten(self, vectors: Tensor) -> Tensor:
        y = (vectors.transpose(0, 1) / self._deviation) @ self.inverse.mT
        return self._mixed(y, self.backward.mT).transpose(0, 1)

    def gradient(self, whitened: Tensor) -> Tensor:
        y = whitened.transpose(0, 1) / self._deviation
        return (self._mixed(y, self.backward) @ self.inverse).transpose(0, 1)

    def apply(self, vectors: Tensor) -> Tensor:
        y = (vectors.transpose(0, 1) * self._deviation) @ self.root
        return self.color(self._mixed(y, self.forward).transpose(0, 1))

    def updated(self, statistics: Statistics, form: Form) -> Self:
        if self._symmetric or statistics.pooling:
            whole = self._gathered()
            return whole._times(clipped(whole._inner(statistics)), form)  # Eqs. (5) to (7)
        full = self.recent.shape[-1] + len(statistics.coefficients) > RECENT * self.shape[1]
        return (self._gathered() if full else self)._with_recent(statistics, form)

    def pulled(self, keep: float) -> Self:
        if keep == 1:
            return self
        if self._symmetric:
            eigenvalues, vectors = torch.linalg.eigh(self.dense())
            return self.from_spectrum(pulled_variance(eigenvalues, keep), vectors)
        whole = self._gathered()
        gram = whole.variance[:, None, None] * (whole.root.mT @ whole.root)
        return whole._times(symmetric(plus_identity((1 - keep) * gram, keep)), "precision")  # (8)

    def shrink(self, vectors: Tensor, keep: float) -> Tensor:
        if keep == 1:
            return vectors
        lower = torch.linalg.cholesky(plus_identity((1 - keep) * self.dense(), keep))
        solved: Tensor = torch.cholesky_solve(vectors[..., None], lower)
        return keep * solved[..., 0]

    def scaled(self, factor: float | Tensor) -> Self:
        return replace(self, variance=self.variance * factor**2)._bounded()

    def spectrum(self) -> Tensor:
        eigenvalues = torch.linalg.eigvalsh(self.dense())
        least = eigenvalues[:, -1:] * torch.finfo(eigenvalues.dtype).eps
        spectrum: Tensor = eigenvalues.maximum(least)
        return spectrum

    def logdet(self) -> Tensor:
        return self.shape[1] * self.variance.log() + self.logdets

    def variances(self) -> Tensor:
        turned = self.root @ self.recent  # rows of R B are r + t M W^T
        mixed = turned @ self.forward
        both = 2 * turned + mixed @ (self.recent.mT @ self.recent)
        return self.variance[:, None] * (self.root.square().sum(-1) + (mixed * both).sum(-1))

    def tensors(self) -> dict[str, Tensor]:
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    def with_tensors(self, tensors: dict[str, Tensor]) -> Self:
        like = self.root
        if "eigenvalues" in tensors:  # files written before roots were kept
            return self.from_spectrum(tensors["eigenvalues"].to(like), tensors["vectors"].to(like))
        return replace(self, **{name: value.to(like) for name, value in tensors.items()})

    @property
    def _symmetric(self) -> bool:
        """Whether R is the symmetric root."""
        return self.shape[1] <= LARGEST_SYMMETRIC

    @property
    def _deviation(self) -> Tensor:
        return self.variance.sqrt()[:, None, None]

    def _mixed(self, rows: Tensor, middle: Tensor) -> Tensor:
        """Rows y (G, J, m) times I + W middle W^T."""
        if not self.recent.shape[-1]:
            return rows
        return torch.baddbmm(rows, (rows @ self.recent) @ middle, self.recent.mT)

    def _inner(self, statistics: Statistics) -> Tensor:
        """A, without recent updates."""
        vectors, c = statistics.joined, statistics.coefficients.T[..., None]
        z = vectors.transpose(0, 1)
        moment = z.mT @ (c * z)
        if statistics.pooling:
            x = self.color(vectors).transpose(0, 1)
            mean = x.flatten(0, 1).T @ (c / len(c) * x).flatten(0, 1)
            pooled = (self.inverse / self.variance[:, None, None] @ mean) @ self.inverse.mT
            moment = torch.lerp(moment, pooled, statistics.pooling)
        return plus_identity(moment, 1 + statistics.shift)

    def _times(self, inner: Tensor, form: Form) -> Self:
        """R A R^T or R A^{-1} R^T, without recent updates."""
        if self._symmetric:
            changed = self.root @ power(inner, form) @ self.root * self.variance[:, None, None]
            eigenvalues, vectors = torch.linalg.eigh(symmetric(changed))
            return self.from_spectrum(eigenvalues, vectors)
        lower = torch.linalg.cholesky(inner)
        growth = 2 * lower.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        solve = torch.linalg.solve_triangular
        if form == "covariance":
            root, inverse = self.root @ lower, solve(lower, self.inverse, upper=False)
        else:
            root = solve(lower.mT, self.root, upper=True, left=False)
            inverse, growth = lower.mT @ self.inverse, -growth
        # contiguous: a checkpoint keeps no strides, and products must not change by a bit
        root, inverse = root.contiguous(), inverse.contiguous()
        grown = replace(self, root=root, inverse=inverse, logdets=self.logdets + growth)
        return grown._bounded()._renewed(self.root[:, :, :1])

    def _with_recent(self, statistics: Statistics, form: Form) -> Self:
        """The update as one more factor of B: Eqs. (5) to (7) in the span of the vectors."""
        span = Span.of(self.recent[:, :, :0], *statistics.parts)
        shift, coefficients = statistics.shift.double(), statistics.coefficients.T.double()
        inner = span.seen * coefficients[:, None, :] @ span.seen.mT
        inside, directions = torch.linalg.eigh(symmetric(plus_identity(inner, 1 + shift)))
        inside, outside = inside.clamp_min(SMALLEST_FACTOR), (1 + shift).clamp_min(SMALLEST_FACTOR)
        if form == "precision":
            inside, outside = 1 / inside, 1 / outside
        ratios = inside / outside[:, None]
        new = span.combined(directions)
        grown, shrunk = (ratios.sqrt() - 1).to(new), (ratios.rsqrt() - 1).to(new)
        overlap = self.recent.mT @ new
        forward = _bordered(self.forward, self.forward @ overlap * grown[:, None], grown)
        backward = shrunk[:, :, None] * (overlap.mT @ self.backward)
        return replace(
            self,
            variance=self.variance * outside.to(new),
            logdets=self.logdets + ratios.log().sum(-1).to(new),
            recent=torch.cat([self.recent, new], dim=-1),
            forward=forward,
            backward=_bordered(self.backward.mT, backward.mT, shrunk).mT.contiguous(),
        )._bounded()

    def _gathered(self) -> Self:
        """The same with B multiplied into R."""
        if not self.recent.shape[-1]:
            return self
        right = (self.root @ self.recent) @ self.forward
        root = torch.baddbmm(self.root, right, self.recent.mT)
        left = self.recent @ self.backward
        inverse = torch.baddbmm(self.inverse, left, self.recent.mT @ self.inverse)
        gathered = replace(self._of(root, inverse, self.logdets), variance=self.variance)
        return gathered._renewed(self.recent[:, :, :1])

    def _renewed(self, probe: Tensor) -> Self:
        """The same, with an exact inverse where rounding has spoiled it; the probe (G, m, 1).

        Sigma's condition is kept below eps^{-3/2}, up to which an inverse has digits at all.
        """
        eps, m = torch.finfo(self.root.dtype).eps, self.shape[1]
        error = (self.inverse @ (self.root @ probe) - probe).norm(dim=1) / probe.norm(dim=1)
        condition = self.root.flatten(1).norm(dim=1) * self.inverse.flatten(1).norm(dim=1)
        if bool((error <= eps**0.25).all() & (condition <= m * eps**-0.75).all()):
            return self
        left, values, right = torch.linalg.svd(self.root)
        values = values.maximum(values[:, :1] * eps**0.75)
        root = (left * values[:, None, :]) @ right
        inverse = (right.mT / values[:, None, :]) @ left.mT
        return replace(self, root=root, inverse=inverse, logdets=2 * values.log().sum(-1))

    def _bounded(self) -> Self:
        """The same, its mean variance between the bounds, and that of R B near one."""
        mean = self.logdets / self.shape[1]
        size = mean.exp()
        variance = bounded(self.variance * size)
        if bool((mean.abs() < LARGEST_DRIFT).all()):
            return replace(self, variance=variance / size)
        factor = size.sqrt()[:, None, None]
        return replace(
            self,
            variance=variance,
            root=self.root / factor,
            inverse=self.inverse * factor,
            logdets=torch.zeros_like(mean),
        )


def _bordered(corner: Tensor, border: Tensor, diagonal: Tensor) -> Tensor:
    """[[corner, border], [0, diag]] with shape (G, r + J, r + J)."""
    zero = torch.zeros_like(border).mT
    rows = [torch.cat([corner, border], -1), torch.cat([zero, torch.diag_embed(diagonal)], -1)]
    return torch.cat(rows, dim=-2)
