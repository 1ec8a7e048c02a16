r"""The reverse process: from noise to a ligand, in as many steps as one likes.

The authors take all T = 1,000 steps. Here S <= T of the times are visited, spread evenly from T-1
to 0. Between two of them, t and s < t, positions follow DDIM (Song et al. 2021, arXiv 2010.02502,
eq. 12 and 16) towards the predicted clean positions :math:`\hat x_0`,

.. math:: x_s = \sqrt{\bar\alpha_s} \hat x_0 + \sqrt{\frac{1 - \bar\alpha_s - \sigma^2}{1 -
    \bar\alpha_t}} (x_t - \sqrt{\bar\alpha_t} \hat x_0) + \sigma z, \quad \sigma = \eta
    \sqrt{\frac{1 - \bar\alpha_s}{1 - \bar\alpha_t} (1 - \bar\alpha_t / \bar\alpha_s)}

and types are drawn from :math:`q(v_s | v_t, \hat v_0)`, which is exact for any s
(:mod:`.categorical`). With S = T and :math:`\eta` = 1 this is the authors' ancestral chain.
After t = 0 positions are :math:`\hat x_0`, as theirs are, and types the most probable ones; the
authors draw these too, which changes an atom's type with a probability below 1e-3.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from torch import Tensor

from .categorical import Kept, gumbel, log_posterior
from .errors import TargetDiffError
from .schedule import Schedule

TYPES = ("steered", "frozen", "argmax")


class State(NamedTuple):
    """Positions (B, n, 3) in Å relative to the pocket's centre and types (B, n)."""

    positions: Tensor
    types: Tensor


class Step(NamedTuple):
    """One reverse step, from time ``time`` on: x = clean x_0 + kept x_t + spread z.

    ``until`` and ``between`` are those of :func:`.categorical.log_posterior`.
    """

    time: int
    clean: float
    kept: float
    spread: float
    until: Kept
    between: Kept


@dataclass(frozen=True)
class Sampler:
    """How the reverse process is run.

    Parameters
    ----------
    steps
        S, evaluations of the network: 2 to T.
    eta
        The share of the ancestral noise of positions: 1 is the full reverse chain, 0 has noise at
        the start only.
    types
        "steered": the noise of types is part of the rollout's noise. "frozen": it is drawn once,
        from ``seed``, and is the same for every candidate, so that positions' noise decides
        everything. "argmax": the start types are frozen, and every later one is the most probable.
    seed
        Of frozen type noise.
    """

    steps: int = 100
    eta: float = 1.0
    types: str = "steered"
    seed: int = 0

    def __post_init__(self) -> None:
        if not isinstance(self.steps, int) or self.steps < 2:
            raise TargetDiffError(f"expected at least 2 steps, got {self.steps}")
        if not 0.0 <= self.eta <= 1.0:
            raise TargetDiffError(f"expected eta from 0 to 1, got {self.eta}")
        if self.types not in TYPES:
            raise TargetDiffError(
                f"expected types as one of {', '.join(TYPES)}, got {self.types!r}"
            )

    @property
    def rows(self) -> int:
        """K, the rows of noise: the start, and one for each step but the last that takes noise."""
        return self.steps if self.eta > 0 or self.types == "steered" else 1

    def times(self, T: int) -> list[int]:
        """The S times that are visited, from T-1 to 0.

        Raises
        ------
        TargetDiffError
            If there are more steps than times.
        """
        if self.steps > T:
            raise TargetDiffError(f"expected at most {T} steps for this model, got {self.steps}")
        last = self.steps - 1
        return [round((T - 1) * (last - index) / last) for index in range(self.steps)]

    def schedule(self, schedule: Schedule) -> list[Step]:
        """The S reverse steps, first to last."""
        times = self.times(schedule.config.num_diffusion_timesteps)
        bar, log_v = schedule.alphas_cumprod.tolist(), schedule.log_alphas_cumprod_v.tolist()
        steps = [
            Step(
                t,
                *_weights(bar[t], bar[s], self.eta),
                until=Kept.of(log_v[s]),
                between=Kept.of(log_v[t] - log_v[s]),
            )
            for t, s in pairwise(times)
        ]
        first = Kept.of(log_v[0])
        return [*steps, Step(0, 1.0, 0.0, 0.0, until=first, between=first)]


def _weights(bar_t: float, bar_s: float, eta: float) -> tuple[float, float, float]:
    """Of the clean positions, of the noisy ones, and the standard deviation of the noise."""
    variance = eta**2 * (1 - bar_s) / (1 - bar_t) * (1 - bar_t / bar_s)
    kept = math.sqrt((1 - bar_s - variance) / (1 - bar_t))
    return math.sqrt(bar_s) - kept * math.sqrt(bar_t), kept, math.sqrt(variance)


def start(positions: Tensor, types: Tensor) -> State:
    """The start of the reverse process: N(0, 1) Å around the pocket's centre, uniform types.

    Parameters
    ----------
    positions, types
        Standard-normal numbers, (B, n, 3) and (B, n, C).
    """
    return State(positions, gumbel(types).argmax(dim=-1))


def advance(
    state: State,
    clean: Tensor,
    logits: Tensor,
    step: Step,
    noise: tuple[Tensor | None, Tensor | None],
) -> State:
    """Take one reverse step.

    Parameters
    ----------
    clean, logits
        The network's prediction: positions (B, n, 3) and logits of types (B, n, C).
    noise
        Standard-normal numbers for positions (B, n, 3) and types (B, n, C); None for no noise on
        positions and the most probable types.
    """
    z, type_noise = noise
    positions = step.clean * clean + step.kept * state.positions
    if z is not None and step.spread > 0:
        positions = positions + step.spread * z
    log_p = log_posterior(logits.log_softmax(dim=-1), state.types, step.until, step.between)
    if type_noise is not None:
        log_p = log_p.double() + gumbel(type_noise)
    return State(positions, log_p.argmax(dim=-1))
