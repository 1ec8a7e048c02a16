r"""Control spaces: the map from what is learned to the noise of every step.

All spaces are driven by one base noise z ~ N(0, I) of shape (N, K, D). A space reads from it the
whitened draws of its Gaussians, P^T z, the covariance colours them to u = mu + Sigma^{1/2} P^T z,
and the space puts u back,

    eps = z + P (s u - P^T z) = P s u + (I - P P^T) z,

with P orthonormal and s the stated exploration scale: u starts as N(0, I), so the noise along P
starts with standard deviation s and all other directions stay N(0, I) for ever.
See docs/method.md, equations (2) to (4).
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from casbo.errors import CasboError

#: Largest deviation of P^T P from the identity that still counts as orthonormal.
ORTHONORMAL_TOLERANCE = 1e-4


@dataclass(frozen=True)
class Layout:
    """What a space learns for a rollout of a given shape.

    Arguments:
        groups: G, the number of learned Gaussians.
        coordinates: m, the number of coordinates of each.
        first_steps: For each of the R draws a candidate takes, the first noise step it
            influences. R = G, draw r from Gaussian r, except in a tied space, where the one
            Gaussian (G = 1) is drawn R = K times.
    """

    groups: int
    coordinates: int
    first_steps: tuple[int, ...]

    @property
    def draws(self) -> int:
        """R, the number of draws a candidate takes."""
        return len(self.first_steps)

    @property
    def tied(self) -> bool:
        """Whether several draws come from one Gaussian."""
        return self.draws != self.groups


class Space(ABC):
    """A control space; see the module's docstring for the equations.

    N candidates, K steps, D coordinates of a step, R draws, G Gaussians, m coordinates of each.
    """

    @abstractmethod
    def layout(self, steps: int, dim: int) -> Layout:
        """What is learned for rollouts of shape (K, D) = (steps, dim).

        Raises:
            CasboError: When the space does not fit that shape.
        """

    @abstractmethod
    def project(self, base: Tensor) -> Tensor:
        """P^T z: whitened draws with shape (N, R, m), from base noise with shape (N, K, D)."""

    @abstractmethod
    def embed(self, learned: Tensor, base: Tensor) -> Tensor:
        """Noise with shape (N, K, D), from u with shape (N, R, m) and the base noise (N, K, D)."""

    @abstractmethod
    def mean_noise(self, mean: Tensor, shape: tuple[int, int]) -> Tensor:
        """P s mu: the mean of the noise, with shape (K, D), from the means with shape (G, m)."""

    def scales(self, like: Tensor) -> Tensor:
        """The exploration scale s of each coordinate, broadcastable to (G, m)."""
        return torch.ones(1, 1, dtype=like.dtype, device=like.device)

    def tensors(self) -> dict[str, Tensor]:
        """The tensors that define the space, by name; `from_parts` is the inverse."""
        return {}

    def settings(self) -> dict[str, Any]:
        """The JSON values that define the space, its kind among them."""
        return {"kind": type(self).__name__}

    def describe(self) -> dict[str, Any]:
        """The space as JSON values; each tensor as its shape and a digest of its numbers."""
        return self.settings() | {name: _digest(value) for name, value in self.tensors().items()}

    def __repr__(self) -> str:
        inside = ", ".join(f"{k}={v!r}" for k, v in self.settings().items() if k != "kind")
        return f"{type(self).__name__}({inside})"


class PerStep(Space):
    """One Gaussian for the whole noise of each step: G = R = K, m = D, P = I (the paper)."""

    def layout(self, steps: int, dim: int) -> Layout:
        return Layout(groups=steps, coordinates=dim, first_steps=tuple(range(steps)))

    def project(self, base: Tensor) -> Tensor:
        return base

    def embed(self, learned: Tensor, base: Tensor) -> Tensor:
        return learned

    def mean_noise(self, mean: Tensor, shape: tuple[int, int]) -> Tensor:
        return mean


class Shared(Space):
    """One Gaussian that all steps draw from, independently: G = 1, R = K, m = D, P = I.

    Statistics are averaged over the K draws. Source: a variant of the method in its
    co-author's public code.
    """

    def layout(self, steps: int, dim: int) -> Layout:
        return Layout(groups=1, coordinates=dim, first_steps=tuple(range(steps)))

    def project(self, base: Tensor) -> Tensor:
        return base

    def embed(self, learned: Tensor, base: Tensor) -> Tensor:
        return learned

    def mean_noise(self, mean: Tensor, shape: tuple[int, int]) -> Tensor:
        return mean.expand(shape)


class Subspace(Space):
    """Learn m coordinates of every step along an orthonormal basis; the rest stays N(0, I).

    Arguments:
        basis: P with shape (D, m), the same for every step, or (K, D, m), one for each step.
            Columns must be orthonormal: `casbo.orthonormal` makes them so.
        scale: Exploration scale s: the standard deviation with which the noise along P starts.
            One number, or a tensor broadcastable to (K, m).

    Raises:
        CasboError: When the basis is not orthonormal, or a scale is not positive.
    """

    def __init__(self, basis: Tensor, scale: float | Tensor = 1.0) -> None:
        basis = torch.as_tensor(basis)
        if basis.ndim not in {2, 3}:
            raise CasboError(
                f"Expected a basis with shape (D, m) or (K, D, m), got shape {tuple(basis.shape)}."
            )
        self.basis = checked_basis(basis if basis.ndim == 3 else basis[None])
        self.scale = checked_scale(scale)

    @staticmethod
    def blocks(
        bases: Sequence[tuple[slice, Tensor]], scale: float | Tensor = 1.0
    ) -> TrajectoryBlocks:
        """Directions that live in blocks of consecutive steps: see `TrajectoryBlocks`."""
        return TrajectoryBlocks(bases, scale)

    def layout(self, steps: int, dim: int) -> Layout:
        bases, rows, m = self.basis.shape
        if rows != dim or bases not in {1, steps}:
            raise CasboError(
                f"Expected a basis with shape ({dim}, m) or ({steps}, {dim}, m) for a rollout of "
                f"shape (K, D) = ({steps}, {dim}), got shape {tuple(self.basis.shape)}."
            )
        check_scale_fits(self.scale, (steps, m))
        return Layout(groups=steps, coordinates=m, first_steps=tuple(range(steps)))

    def project(self, base: Tensor) -> Tensor:
        return torch.matmul(base.unsqueeze(-2), self.basis.to(base)).squeeze(-2)  # Eq. (2)

    def embed(self, learned: Tensor, base: Tensor) -> Tensor:
        change = self.scales(learned) * learned - self.project(base)
        return base + torch.matmul(self.basis.to(base), change.unsqueeze(-1)).squeeze(
            -1
        )  # Eq. (3)

    def mean_noise(self, mean: Tensor, shape: tuple[int, int]) -> Tensor:
        scaled = (self.scales(mean) * mean).unsqueeze(-1)
        return torch.matmul(self.basis.to(mean), scaled).squeeze(-1)

    def scales(self, like: Tensor) -> Tensor:
        return self.scale.to(like)

    def tensors(self) -> dict[str, Tensor]:
        return {"basis": self.basis, "scale": self.scale}


class TrajectoryBlocks(Space):
    """G Gaussians, each along directions that span a block of consecutive steps.

    A direction is a unit vector of the block's flattened noise, for example one that sums an
    atom type's channel over all atoms and all steps of the block.

    Arguments:
        bases: For each Gaussian its steps and its basis: `(slice(start, stop), P)`, P with shape
            ((stop - start) * D, m), columns orthonormal, m the same for all. Blocks must not
            overlap; steps in no block stay N(0, I).
        scale: Exploration scale s: one number, or a tensor broadcastable to (G, m).

    Raises:
        CasboError: When blocks overlap or differ in m, a basis is not orthonormal, or a scale is
            not positive.
    """

    def __init__(self, bases: Sequence[tuple[slice, Tensor]], scale: float | Tensor = 1.0) -> None:
        if not bases:
            raise CasboError("Expected at least one block (slice, basis), got none.")
        self.steps = tuple(_checked_slice(steps) for steps, _ in bases)
        self.bases = tuple(checked_basis(torch.as_tensor(basis)) for _, basis in bases)
        self.scale = checked_scale(scale)
        ordered = sorted(self.steps)
        for (_, stop), (start, _) in pairwise(ordered):
            if start < stop:
                raise CasboError(
                    f"Expected blocks of steps that do not overlap, got {list(self.steps)}: "
                    "join the directions of overlapping blocks in one basis."
                )
        widths = {basis.shape[-1] for basis in self.bases}
        if len(widths) != 1 or any(basis.ndim != 2 for basis in self.bases):
            raise CasboError(
                "Expected every block's basis to have shape (steps * D, m) with one m, "
                f"got shapes {[tuple(basis.shape) for basis in self.bases]}."
            )

    def layout(self, steps: int, dim: int) -> Layout:
        for (start, stop), basis in zip(self.steps, self.bases, strict=True):
            if stop > steps or basis.shape[0] != (stop - start) * dim:
                raise CasboError(
                    f"Expected, for the block of steps {start}:{stop} in a rollout of shape "
                    f"(K, D) = ({steps}, {dim}), stop <= {steps} and a basis with "
                    f"{(stop - start) * dim} rows, got one with shape {tuple(basis.shape)}."
                )
        m = self.bases[0].shape[1]
        check_scale_fits(self.scale, (len(self.bases), m))
        return Layout(len(self.bases), m, tuple(start for start, _ in self.steps))

    def project(self, base: Tensor) -> Tensor:
        parts = [
            base[:, start:stop].flatten(1) @ basis.to(base)  # Eq. (2)
            for (start, stop), basis in zip(self.steps, self.bases, strict=True)
        ]
        return torch.stack(parts, dim=1)

    def embed(self, learned: Tensor, base: Tensor) -> Tensor:
        change = self.scales(learned) * learned - self.project(base)
        noise = base.clone()
        for g, (start, stop) in enumerate(self.steps):
            along = change[:, g] @ self.bases[g].to(base).T
            noise[:, start:stop] += along.reshape(len(noise), stop - start, -1)  # Eq. (3)
        return noise

    def mean_noise(self, mean: Tensor, shape: tuple[int, int]) -> Tensor:
        zero = torch.zeros(1, *shape, dtype=mean.dtype, device=mean.device)
        return self.embed(mean[None], zero)[0]

    def scales(self, like: Tensor) -> Tensor:
        return self.scale.to(like)

    def tensors(self) -> dict[str, Tensor]:
        bases = {f"basis{g}": basis for g, basis in enumerate(self.bases)}
        return {**bases, "scale": self.scale}

    def settings(self) -> dict[str, Any]:
        return {"kind": type(self).__name__, "steps": [list(steps) for steps in self.steps]}


def from_parts(settings: dict[str, Any], tensors: dict[str, Tensor]) -> Space:
    """The space whose `settings()` and `tensors()` these are.

    Raises:
        CasboError: When the kind is none of this module's.
    """
    kind = settings.get("kind")
    if kind == "PerStep":
        return PerStep()
    if kind == "Shared":
        return Shared()
    if kind == "Subspace":
        return Subspace(tensors["basis"], tensors["scale"])
    if kind == "TrajectoryBlocks":
        blocks = [
            (slice(*steps), tensors[f"basis{g}"]) for g, steps in enumerate(settings["steps"])
        ]
        return TrajectoryBlocks(blocks, tensors["scale"])
    if kind == "Separable":
        from casbo.separable import Separable

        return Separable(tensors["profiles"], tensors["patterns"], tensors["scale"])
    raise CasboError(
        "Expected a space of kind PerStep, Separable, Shared, Subspace or TrajectoryBlocks, "
        f"got {kind!r}."
    )


def space_of(space: Space | str) -> Space:
    """The space itself, or the one named "per_step" or "shared".

    Raises:
        CasboError: For any other name.
    """
    if isinstance(space, Space):
        return space
    if space == "per_step":
        return PerStep()
    if space == "shared":
        return Shared()
    raise CasboError(
        f"Expected a casbo.Space, 'per_step' or 'shared', got {space!r}; for a subspace pass "
        "casbo.Subspace(basis, scale)."
    )


def checked_basis(basis: Tensor) -> Tensor:
    """The basis in float64, its columns found orthonormal.

    Raises:
        CasboError: When they are not.
    """
    basis = basis.detach().double().contiguous()
    if basis.shape[-1] < 1 or basis.shape[-1] > basis.shape[-2]:
        raise CasboError(
            f"Expected a basis with at least one and at most {basis.shape[-2]} columns, "
            f"got shape {tuple(basis.shape)}."
        )
    gram = basis.mT @ basis
    off = float(
        (gram - torch.eye(gram.shape[-1], dtype=gram.dtype, device=gram.device)).abs().max()
    )
    if not off < ORTHONORMAL_TOLERANCE:
        raise CasboError(
            f"Expected a basis with orthonormal columns, got P^T P off the identity by {off:.2g}: "
            "pass casbo.orthonormal(basis)."
        )
    return basis


def checked_scale(scale: float | Tensor) -> Tensor:
    """The exploration scale as a tensor, found positive.

    Raises:
        CasboError: When it is not.
    """
    value = torch.as_tensor(scale, dtype=torch.float64).detach().clone()
    if not bool((value > 0).all() and value.isfinite().all()):
        raise CasboError(f"Expected a positive, finite exploration scale, got {scale}.")
    return value


def check_scale_fits(scale: Tensor, shape: tuple[int, int]) -> None:
    """Refuse a scale that does not broadcast to (Gaussians, coordinates).

    Raises:
        CasboError: When it does not.
    """
    try:
        fits = scale.expand(shape).shape == shape
    except RuntimeError:
        fits = False
    if not fits:
        raise CasboError(
            f"Expected a scale that broadcasts to (Gaussians, coordinates) = {shape}, "
            f"got shape {tuple(scale.shape)}."
        )


def _checked_slice(steps: slice) -> tuple[int, int]:
    start = 0 if steps.start is None else int(steps.start)
    if steps.stop is None or steps.step not in {None, 1} or not 0 <= start < int(steps.stop):
        raise CasboError(
            f"Expected a block of steps as slice(start, stop) with 0 <= start < stop, got {steps}."
        )
    return start, int(steps.stop)


def _digest(tensor: Tensor) -> str:
    numbers = tensor.detach().cpu().contiguous().numpy().tobytes()
    return f"{tuple(tensor.shape)} sha256:{hashlib.sha256(numbers).hexdigest()[:16]}"
