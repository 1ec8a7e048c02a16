"""How the reverse process is walked: how many steps, and how much of their noise is fresh."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from ..model import ModelError
from .schedule import NoiseSchedule, ReverseStep


@dataclass(frozen=True)
class Sampler:
    """Steps of the reverse process.

    Parameters
    ----------
    steps
        Steps S, spread evenly over the T times of the model; S = T with ``eta`` 1 is the full
        ancestral chain of the paper. One network evaluation more is made at the end.
    eta
        Share of the ancestral noise, 0 to 1: 1 draws all of it afresh, 0 is deterministic given
        the start (DDIM, arXiv 2010.02502).
    """

    steps: int = 1000
    eta: float = 1.0

    def __post_init__(self) -> None:
        if self.steps < 1 or not 0 <= self.eta <= 1:
            raise ModelError(
                f"expected steps >= 1 and eta from 0 to 1, got {self.steps} and {self.eta}"
            )

    def times(self, total: int) -> list[int]:
        """S + 1 different times from ``total`` = T down to 0.

        Raises
        ------
        ModelError
            If the model has fewer times than steps are asked for.
        """
        if self.steps > total:
            raise ModelError(
                f"expected at most {total} steps, the length of the model's chain, got "
                f"{self.steps}"
            )
        return [total - index * total // self.steps for index in range(self.steps + 1)]

    def schedule(self, noise: NoiseSchedule) -> list[ReverseStep]:
        """The S steps, first to last."""
        return [
            noise.reverse_step(time, following, self.eta)
            for time, following in pairwise(self.times(noise.steps))
        ]
