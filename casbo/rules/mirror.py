r"""The mirror step: the closed-form update that `paper`, `bdtg` and `ingo` are cases of.

It minimises the linearised cost + KL(p || p_t) / beta + rho KL(p || N(0, I)) over Gaussians p, in
whitened coordinates z = Sigma^{-1/2} (u - mu). See docs/method.md, equations (5) to (8), (15) to
(18).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from casbo.covariance import Statistics
from casbo.errors import CasboError
from casbo.rules.base import State, check_options

MeanForm = Literal["mean", "natural"]


@dataclass(frozen=True)
class MirrorStep:
    """Step sizes and forms of a mirror step.

    Arguments:
        mean_step: beta of the mean.
        covariance_step: beta of the covariance.
        prior_pull: rho, the weight of the pull to the prior N(0, I).
        mean_form: "mean": linear in (mu, Sigma); "natural": in the expectation parameters
            (mu, Sigma + mu mu^T).
    """

    mean_step: float
    covariance_step: float
    prior_pull: float = 0.0
    mean_form: MeanForm = "mean"

    def __call__(
        self,
        state: State,
        draws: Tensor,
        mean_weights: Tensor,
        covariance_weights: Tensor,
        shift: Tensor,
    ) -> State:
        """The minimiser.

        Arguments:
            state: The present state.
            draws: z with shape (J, G, m).
            mean_weights: With shape (J, G), so that their sum over z is Sigma^{1/2} g.
            covariance_weights: c with shape (J, G), so that the sum of c z z^T + shift I is
                2 Sigma^{1/2} G Sigma^{1/2}.
            shift: With shape (G,).
        """
        beta, rho = self.mean_step, self.prior_pull
        steps = self.covariance_step
        statistics = Statistics(draws, steps * covariance_weights, steps * shift)  # Eq. (16)
        keep = 1 / (1 + self.covariance_step * rho)
        covariance = state.covariance.updated(statistics, "precision").pulled(keep)  # Eq. (8)
        keep = 1 / (1 + beta * rho)
        if self.mean_form == "mean":
            mean = mean_step(state, draws, mean_weights, beta, keep)
        else:
            gradient = _whitened_gradient(draws, mean_weights)
            plain = state.covariance.gradient(gradient[None])[0]  # g
            slope = keep * beta * plain + (1 - keep) * state.mean
            mean = state.mean - covariance.apply(slope[None])[0]  # Eq. (18)
        return State(mean, covariance, state.memory)


def mean_step(state: State, draws: Tensor, weights: Tensor, beta: float, keep: float) -> Tensor:
    """The mean after a step in the mean form, Eq. (17).

    Arguments:
        state: The present state.
        draws: z with shape (J, G, m).
        weights: With shape (J, G), so that their sum over z is Sigma^{1/2} g.
        beta: The step size.
        keep: w, the share that the pull to the prior leaves.
    """
    step = state.covariance.color(_whitened_gradient(draws, weights)[None])[0]
    return state.covariance.shrink(state.mean - beta * step, keep)


def _whitened_gradient(draws: Tensor, weights: Tensor) -> Tensor:
    """Sigma^{1/2} g with shape (G, m), Eq. (15)."""
    return (weights[..., None] * draws).sum(0)


def check_mirror_options(mean_form: str, prior_pull: float) -> None:
    """Check the options all mirror rules share.

    Raises:
        CasboError: When a value is outside its domain.
    """
    if mean_form not in {"mean", "natural"}:
        raise CasboError(f"Expected mean_form 'mean' or 'natural', got {mean_form!r}.")
    check_options(prior_pull=(prior_pull, 0, 1e12))


def shaping_named(name: str) -> None:
    """Check a shaping's name.

    Raises:
        CasboError: When there is none of that name.
    """
    from casbo.credit import SHAPINGS

    if name not in SHAPINGS:
        raise CasboError(f"Expected a shaping among {sorted(SHAPINGS)}, got {name!r}.")
