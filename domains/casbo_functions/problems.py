"""Sequential test problems: a test function reached through K steps of some dynamics.

Terminal problems score the final sample only. Cumulative ones also score the sample predicted
after every step before, so a steered run pays K queries per trajectory and learns which steps
did what. Either way the least cost is known, and so is noise that reaches it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from torch import Tensor

from casbo.errors import CasboError

from .dynamics import DYNAMICS, SyntheticRollout
from .functions import ShiftedFunction
from .mixture import GaussianMixture, MixtureRollout
from .scorers import FunctionScorer

#: Names of the ways from noise to samples, and what they are.
ROLLOUTS: Mapping[str, str] = MappingProxyType(
    {
        "identity": "a random walk",
        "rotation": "a random rotation before each step's noise",
        "linear-tanh": "a contracting rotation plus a random one-layer network",
        "delayed": "a double integrator: noise shows later",
        "mixture": "the exact reverse diffusion of a mixture of 8 Gaussians",
    }
)

#: Seeds of the parts are a little larger, and torch takes 64 bits.
LARGEST_SEED = 2**62


@dataclass(frozen=True)
class SequentialProblem:
    """A rollout, a scorer and the answer.

    Arguments:
        rollout: Noise (N, K, D) -> points of R^D.
        scorer: The cost of a point.
        cumulative: Whether the samples predicted before the end are scored as well.
    """

    rollout: SyntheticRollout
    scorer: FunctionScorer
    cumulative: bool = False

    @property
    def score_steps(self) -> tuple[int, ...]:
        """The steps before the last that are scored, as `casbo.steer` takes them."""
        return tuple(range(self.rollout.shape[0] - 1)) if self.cumulative else ()

    @property
    def optimal_value(self) -> float:
        """The least cost of a trajectory, without the scorer's noise."""
        scored = self.rollout.shape[0] if self.cumulative else 1
        return scored * self.scorer.function.optimal_value

    def optimal_noise(self) -> Tensor:
        """Noise (K, D) in float64 whose trajectory costs `optimal_value`."""
        return self.rollout.noise_towards(self.scorer.function.optimum, always=self.cumulative)


def sequential_problem(
    function: str,
    *,
    dynamics: str = "rotation",
    dim: int = 10,
    steps: int = 5,
    cumulative: bool = False,
    noise: float = 0.0,
    failures: float = 0.0,
    seed: int = 0,
) -> SequentialProblem:
    """Build a test problem by name.

    Arguments:
        function: A key of `FORMULAS`.
        dynamics: A key of `ROLLOUTS`.
        dim: D, coordinates of a sample and of a step's noise.
        steps: K, noise steps.
        cumulative: Score the predicted samples after every step, not only the last.
        noise: Relative noise of the scorer.
        failures: Share of samples whose score fails.
        seed: Draws the optimum, the system and the scorer's faults.

    Raises:
        CasboError: For an unknown name, sizes that the function or the system does not have, or
            a seed outside 0 to 2^62.
    """
    if not 0 <= seed <= LARGEST_SEED:
        raise CasboError(f"Expected a problem's seed between 0 and 2^62, got {seed}.")
    if dynamics not in ROLLOUTS:
        raise CasboError(f"Expected dynamics among {', '.join(ROLLOUTS)}; got {dynamics!r}.")
    scorer = FunctionScorer(ShiftedFunction(function, dim, seed), noise, failures, seed)
    rollout: SyntheticRollout
    if dynamics == "mixture":
        mixture = GaussianMixture.random(8, dim, seed=seed + 1, spread=1.0)
        rollout = MixtureRollout(mixture, steps=steps)
    else:
        rollout = DYNAMICS[dynamics](steps, dim, seed + 1)
    return SequentialProblem(rollout, scorer, cumulative)
