"""FrozenRows: a rollout some rows of whose noise are fixed.

Freezing the rows before k at a good candidate's noise is partial re-noising: children share its
path up to step k and only the rest is drawn, or steered, anew. Freezing all rows but the first
leaves the start noise.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from casbo.errors import RolloutError
from casbo.rollout import Rollout, Sample, Trajectories


class FrozenRows(Rollout):
    """The rollout as a function of its other rows: noise (N, K - F, D) for F frozen ones.

    Arguments:
        rollout: The whole rollout, of shape (K, D).
        noise: Where the frozen rows are taken from, such as a parent's, with shape (K, D).
        rows: The F rows that are frozen.

    Raises:
        RolloutError: When the noise has another shape, a row does not exist, or none is left.
    """

    def __init__(self, rollout: Rollout, noise: Tensor, rows: Iterable[int]) -> None:
        K, D = rollout.shape
        frozen = sorted(set(rows))
        if noise.shape != (K, D):
            raise RolloutError(
                f"Expected one candidate's noise with shape {(K, D)}, got {tuple(noise.shape)}."
            )
        if any(not 0 <= row < K for row in frozen):
            raise RolloutError(f"Expected rows from 0 to {K - 1}, got {frozen}.")
        self.free = tuple(row for row in range(K) if row not in frozen)
        if not self.free:
            raise RolloutError(f"Expected at least one of the {K} rows left to steer, got none.")
        self.rollout = rollout
        self.noise = noise.detach().clone()
        self.shape = (len(self.free), D)

    def __call__(self, noise: Tensor, *, predict: Sequence[int] = ()) -> Trajectories:
        """Run the whole rollout; steps are numbered by the rows that are left.

        Raises:
            RolloutError: When the noise has another shape or a step does not exist.
        """
        if noise.ndim != 3 or noise.shape[1:] != self.shape:
            expected = f"(N, {self.shape[0]}, {self.shape[1]})"
            raise RolloutError(f"Expected noise with shape {expected}, got {tuple(noise.shape)}.")
        if any(not 0 <= step < len(self.free) for step in predict):
            raise RolloutError(
                f"Expected steps from 0 to {len(self.free) - 1}, got {tuple(predict)}."
            )
        found = self.rollout(self.whole(noise), predict=[self.free[step] for step in predict])
        return Trajectories(
            found.samples, {step: found.predictions[self.free[step]] for step in predict}
        )

    def whole(self, noise: Tensor) -> Tensor:
        """All rows (N, K, D) of noise (N, K - F, D)."""
        whole = self.noise.to(noise).repeat(len(noise), 1, 1)
        whole[:, list(self.free)] = noise
        return whole

    def at(self, iteration: int) -> Rollout:
        """The rollout of one iteration, with the same rows frozen."""
        inner = self.rollout.at(iteration)
        if inner is self.rollout:
            return self
        return FrozenRows(inner, self.noise, set(range(len(self.noise))) - set(self.free))

    def export(
        self, samples: Sequence[Sample], scores: Sequence[Mapping[str, float]], folder: Path
    ) -> list[Path]:
        """As the whole rollout does."""
        return self.rollout.export(samples, scores, folder)

    def identify(self, sample: Sample) -> str | None:
        """As the whole rollout does."""
        return self.rollout.identify(sample)

    def picture(self, sample: Sample) -> str | None:
        """As the whole rollout does."""
        return self.rollout.picture(sample)

    def point(self, sample: Sample) -> Tensor | None:
        """As the whole rollout does."""
        return self.rollout.point(sample)

    def describe(self) -> dict[str, Any]:
        """The whole rollout, the rows left, and a digest of the noise in the others."""
        frozen = [row for row in range(len(self.noise)) if row not in self.free]
        values = self.noise[frozen].double().cpu().contiguous().numpy()
        digest = hashlib.sha256(values.tobytes())
        return {
            **super().describe(),
            "rollout": self.rollout.describe(),
            "free": list(self.free),
            "frozen": digest.hexdigest()[:16],
        }
