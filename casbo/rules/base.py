"""What an update rule is: a frozen set of options with a pure function from state to state."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from casbo.controls import NoiseNorm
from casbo.covariance import Covariance
from casbo.credit import Costs
from casbo.errors import CasboError
from casbo.spaces import Layout

#: Added to or put in place of a zero that something is divided by.
TINY = 1e-300


@dataclass(frozen=True)
class State:
    """All that an update changes.

    Arguments:
        mean: The means mu of the G Gaussians, with shape (G, m).
        covariance: Their covariances Sigma.
        memory: What a rule remembers besides, by name.
    """

    mean: Tensor
    covariance: Covariance
    memory: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Setting:
    """What does not change during a run.

    Arguments:
        layout: What is learned.
        population: N.
        steps: K.
        noise_norm: Whether every step's noise is rescaled to the norm it is drawn with.
    """

    layout: Layout
    population: int
    steps: int
    noise_norm: NoiseNorm = "free"


class Rule(ABC):
    """An update rule. Subclasses are frozen dataclasses whose fields are the rule's options."""

    def check(self, setting: Setting) -> None:
        """Refuse settings that the rule cannot work in.

        Raises:
            CasboError: Naming the setting and the fix.
        """
        N, paired = setting.population, self.mirrors(setting)
        if N < 2 or (paired and N % 2):
            wanted = "even and at least 2: candidates come in mirrored pairs"
            raise CasboError(
                f"Expected a population of {wanted if paired else 'at least 2'}, got {N}."
            )

    def mirrors(self, setting: Setting) -> bool:
        """Whether candidates come in pairs with opposite base noise: n and n + N/2."""
        return False

    def norm(self, layout: Layout) -> NoiseNorm:
        """The noise norm that the rule is meant to run with."""
        return "free"

    def uses_samples(self, setting: Setting) -> bool:
        """Whether `update` makes anything of `Costs.samples`."""
        return False

    def propose(self, state: State, setting: Setting) -> Tensor | None:
        """Whitened draws (J, R, m) for candidates that are not to be drawn by chance, or None.

        A function of its arguments alone. A mirrored rule proposes two, for candidates 0 and
        N/2; others propose for candidates 0 to J - 1.
        """
        return None

    def memory(self, setting: Setting, like: Tensor) -> dict[str, Tensor]:
        """What the rule remembers at the start, with the dtype and device of the means."""
        return {}

    @abstractmethod
    def update(self, state: State, draws: Tensor, costs: Costs, setting: Setting) -> State:
        """The next state.

        Arguments:
            state: The present one, which the draws were coloured with.
            draws: Whitened draws z of the candidates, with shape (N, R, m), or, where all come in
                mirrored pairs, of their first half: (N/2, R, m).
            costs: Their costs; informative, on the CPU, in float64.
            setting: What does not change.
        """

    def describe(self) -> dict[str, Any]:
        """The rule's options as JSON values."""
        options = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}  # type: ignore[arg-type]
        return {"kind": type(self).__name__, **options}


def by_gaussian(draws: Tensor, layout: Layout) -> Tensor:
    """Draws (N, R, m) or weights (N, R) as (J, G, ...): a tied space's K draws become J = N K."""
    return draws.flatten(0, 1).unsqueeze(1) if layout.tied else draws


def check_options(**bounds: tuple[float, float, float]) -> None:
    """Check named options, each given as (value, low, high).

    Raises:
        CasboError: When a value is outside its bounds.
    """
    for name, (value, low, high) in bounds.items():
        if not low <= value <= high:
            raise CasboError(f"Expected {name} between {low:g} and {high:g}, got {value}.")


def like(values: Tensor, other: Tensor) -> Tensor:
    """Weights computed on the CPU in float64, with another tensor's dtype and device."""
    return values.to(dtype=other.dtype, device=other.device)


def scalar(value: float, other: Tensor) -> Tensor:
    """One number as a tensor with another's dtype and device."""
    return torch.tensor(value, dtype=other.dtype, device=other.device)
