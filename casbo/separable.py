r"""Separable: one Gaussian over directions that are products, a profile in time times a pattern.

A direction of the whole trajectory's noise is T_w P_j^T: the pattern P_j of a single step, in
proportions T_w over the steps. With W profiles and q patterns one Gaussian learns m = W q coordinates,
and neither the (K D, m) basis of these directions nor anything of its size is ever formed.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from casbo.errors import CasboError
from casbo.spaces import Layout, Space, check_scale_fits, checked_basis, checked_scale


class Separable(Space):
    """Learn the coordinates of a trajectory's noise along products of profiles and patterns.

    Coordinate w q + j belongs to profile w and pattern j.

    Arguments:
        profiles: T with shape (K, W), orthonormal columns: how a direction spreads over the steps.
        patterns: P with shape (D, q), orthonormal columns: what it is within a step.
        scale: Exploration scale s: the standard deviation with which the noise along them starts.
            One number, or a tensor broadcastable to (1, W q).

    Raises:
        CasboError: When columns are not orthonormal, or a scale is not positive.
    """

    def __init__(self, profiles: Tensor, patterns: Tensor, scale: float | Tensor = 1.0) -> None:
        profiles, patterns = torch.as_tensor(profiles), torch.as_tensor(patterns)
        if profiles.ndim != 2 or patterns.ndim != 2:
            raise CasboError(
                "Expected profiles with shape (K, W) and patterns with shape (D, q), got shapes "
                f"{tuple(profiles.shape)} and {tuple(patterns.shape)}."
            )
        self.profiles, self.patterns = checked_basis(profiles), checked_basis(patterns)
        self.scale = checked_scale(scale)

    @staticmethod
    def windows(steps: int, edges: list[int]) -> Tensor:
        """Profiles (K, W) that are level within windows of consecutive steps and zero outside.

        Arguments:
            steps: K.
            edges: Where windows begin and where the last one ends: ascending, from 0 to K at most.

        Raises:
            CasboError: When the edges are no such numbers.
        """
        if (
            len(edges) < 2
            or sorted(set(edges)) != list(edges)
            or edges[0] < 0
            or edges[-1] > steps
        ):
            raise CasboError(
                f"Expected at least two ascending edges from 0 to {steps}, got {list(edges)}."
            )
        profiles = torch.zeros(steps, len(edges) - 1, dtype=torch.float64)
        for window, (start, stop) in enumerate(pairwise(edges)):
            profiles[start:stop, window] = (stop - start) ** -0.5
        return profiles

    def layout(self, steps: int, dim: int) -> Layout:
        (K, W), (D, q) = self.profiles.shape, self.patterns.shape
        if (steps, dim) != (K, D):
            raise CasboError(
                f"Expected profiles of {steps} steps and patterns of {dim} coordinates, got "
                f"{K} and {D}."
            )
        check_scale_fits(self.scale, (1, W * q))
        return Layout(groups=1, coordinates=W * q, first_steps=(0,))

    def project(self, base: Tensor) -> Tensor:
        # over the steps first, here and in _spread: there are fewer profiles than steps
        together = torch.matmul(self.profiles.to(base).T, base)  # (N, W, D)
        return torch.matmul(together, self.patterns.to(base)).flatten(1).unsqueeze(1)  # Eq. (2)

    def embed(self, learned: Tensor, base: Tensor) -> Tensor:
        change = self.scales(learned) * learned - self.project(base)
        return base + self._spread(change[:, 0])  # Eq. (3)

    def mean_noise(self, mean: Tensor, shape: tuple[int, int]) -> Tensor:
        return self._spread(self.scales(mean) * mean)[0]

    def scales(self, like: Tensor) -> Tensor:
        return self.scale.to(like)

    def tensors(self) -> dict[str, Tensor]:
        return {"profiles": self.profiles, "patterns": self.patterns, "scale": self.scale}

    def settings(self) -> dict[str, Any]:
        return {"kind": type(self).__name__}

    def _spread(self, coordinates: Tensor) -> Tensor:
        """Coordinates (N, W q) as noise along the directions, with shape (N, K, D)."""
        table = coordinates.reshape(-1, self.profiles.shape[1], self.patterns.shape[1])
        within_step = torch.matmul(table, self.patterns.to(table).T)  # (N, W, D)
        return torch.matmul(self.profiles.to(table), within_step)
