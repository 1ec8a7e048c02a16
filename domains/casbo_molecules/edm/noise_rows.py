"""Which noise of the reverse process is an argument, and what the rest of it is.

The reverse process of S steps takes noise S + 2 times: at the start, in each step, and for the
positions of the finished molecule. Each time it has a part for positions (3 n numbers, atom by
atom) and one for types (n C). Noise that has no effect is no row: that of steps whose eta is 0, and
the last where positions are not steered.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from casbo.controls import base_noise

from ..model import ModelError

PARTS = ("positions", "types")
FROZEN_STREAM = 2  # a stream of base noise that no search and no sampling uses


@dataclass(frozen=True)
class NoiseRows:
    """The rows of the noise argument.

    Parameters
    ----------
    atoms, channels
        n and C.
    steps
        S.
    stochastic
        Whether the steps draw noise (eta > 0).
    steer
        Which parts the argument holds, out of :data:`PARTS`. Noise of the other is fixed: the
        same for every sample.
    frozen_seed
        Determines the fixed noise.

    Raises
    ------
    ModelError
        If ``steer`` is no such choice, or the seed is negative.
    """

    atoms: int
    channels: int
    steps: int
    stochastic: bool
    steer: tuple[str, ...] = PARTS
    frozen_seed: int = 0

    def __post_init__(self) -> None:
        named = isinstance(self.steer, tuple) and set(self.steer) <= set(PARTS)
        if not named or not self.steer or len(set(self.steer)) < len(self.steer):
            raise ModelError(
                f'expected steer to be ("positions",), ("types",) or ("positions", "types"), got '
                f"{self.steer!r}"
            )
        if self.frozen_seed < 0:
            raise ModelError(f"expected frozen_seed of at least 0, got {self.frozen_seed}")

    @property
    def events(self) -> tuple[int, ...]:
        """For each row when it enters: 0 at the start, i in step i, S + 1 at the end."""
        steps = range(1, self.steps + 1) if self.stochastic else ()
        end = (self.steps + 1,) if "positions" in self.steer else ()
        return (0, *steps, *end)

    @property
    def widths(self) -> dict[str, int]:
        """Numbers of each steered part in a row, in the row's order."""
        sizes = dict(zip(PARTS, (3 * self.atoms, self.channels * self.atoms), strict=True))
        return {part: sizes[part] for part in PARTS if part in self.steer}

    @property
    def shape(self) -> tuple[int, int]:
        """(K, D)."""
        return len(self.events), sum(self.widths.values())

    @property
    def types(self) -> slice | None:
        """Where in a row the noise of types stands; None where it is not steered."""
        if "types" not in self.widths:
            return None
        return slice(self.shape[1] - self.widths["types"], self.shape[1])

    def filled(self, noise: Tensor) -> Iterator[Tensor]:
        """Noise (B, n, 3 + C) for the start, each step and the end, one after the other.

        Parameters
        ----------
        noise
            The argument's rows (B, K, D).
        """
        rows = {event: row for row, event in enumerate(self.events)}
        for event in range(self.steps + 2):
            fixed = self._fixed(event).to(noise).expand(len(noise), -1, -1)
            if event not in rows:
                yield fixed
                continue
            given = noise[:, rows[event]].split(list(self.widths.values()), dim=-1)
            parts = dict(zip(PARTS, fixed.split([3, self.channels], dim=-1), strict=True))
            for part, values in zip(self.widths, given, strict=True):
                parts[part] = values.unflatten(-1, (self.atoms, -1))
            yield torch.cat([parts[part] for part in PARTS], dim=-1)

    def _fixed(self, event: int) -> Tensor:
        """The fixed noise (n, 3 + C) of an event; zero where none of it is used."""
        if set(self.steer) == set(PARTS):
            return torch.zeros(self.atoms, 3 + self.channels)
        shape = (self.atoms, 3 + self.channels)
        return base_noise(shape, FROZEN_STREAM, self.frozen_seed, event)


def checked_parts(steer: Sequence[str]) -> tuple[str, ...]:
    """The parts in their order, whatever sequence names them."""
    names = (steer,) if isinstance(steer, str) else tuple(steer)
    return tuple(part for part in PARTS if part in names) if set(names) <= set(PARTS) else names
