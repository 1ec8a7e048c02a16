"""The rule `paper`: CASBO as its oldest public code runs it (arXiv 2406.00812)."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

from torch import Tensor

from casbo.credit import SHAPINGS, Costs, score_to_go, shaped
from casbo.errors import CasboError
from casbo.rules.base import Rule, Setting, State, by_gaussian, check_options, like
from casbo.rules.mirror import MeanForm, MirrorStep, check_mirror_options, shaping_named
from casbo.rules.schedule import Progress, TheoremSchedule

#: Options that mean something under one schedule only.
CONSTANT_OPTIONS = ("step", "prior_pull", "mean_form", "shaping")
THEOREM_OPTIONS = ("alpha", "beta", "nu")


@dataclass(frozen=True)
class Paper(Rule):
    """Min-max weights, the -I term dropped: Sigma can only shrink.

    Arguments:
        step: b of the step sizes beta_mu = b / sqrt(m) and beta_Sigma = b / m. None takes
            0.4 sqrt(m), which at the paper's image size (m = 16,384) is its b of about 50.
        prior_pull: rho, the weight of the pull to the prior.
        mean_form: "mean" or "natural".
        shaping: "min_max" (published), "z_score", "ranks" or "softmax".
        schedule: "constant" steps, or the growing ones of the "theorem" with its own gradient:
            see `casbo.rules.schedule`. With "theorem" the four options above must be left alone.
        alpha: Of "theorem", as `beta` and `nu`: see `casbo.rules.schedule.TheoremSchedule`,
            whose default None takes.
        beta: See `alpha`.
        nu: See `alpha`.
    """

    step: float | None = None
    prior_pull: float = 0.0
    mean_form: MeanForm = "mean"
    shaping: str = "min_max"
    schedule: Literal["constant", "theorem"] = "constant"
    alpha: float | None = None
    beta: float | None = None
    nu: float | None = None

    def __post_init__(self) -> None:
        check_mirror_options(self.mean_form, self.prior_pull)
        shaping_named(self.shaping)
        check_options(step=(1.0 if self.step is None else self.step, 1e-12, 1e12))
        if self.schedule not in {"constant", "theorem"}:
            raise CasboError(
                f"Expected a schedule 'constant' or 'theorem', got {self.schedule!r}."
            )
        self.sequences()  # checks its own
        theirs = THEOREM_OPTIONS if self.schedule == "constant" else CONSTANT_OPTIONS
        given = [name for name in theirs if getattr(self, name) != getattr(type(self), name)]
        if given:
            raise CasboError(
                f"Expected no option {' or '.join(given)} with schedule={self.schedule!r}: "
                "leave it at its default, or take the other schedule."
            )

    def memory(self, setting: Setting, like: Tensor) -> dict[str, Tensor]:
        return Progress.zeros().tensors() if self.schedule == "theorem" else {}

    def update(self, state: State, draws: Tensor, costs: Costs, setting: Setting) -> State:
        m = setting.layout.coordinates
        togo = score_to_go(costs.values, setting.layout.first_steps)
        h = shaped(SHAPINGS[self.shaping], togo, costs.failed)  # Eq. (19)
        weights = by_gaussian(like(h, draws), setting.layout)
        weights = weights / len(weights)
        z = by_gaussian(draws, setting.layout)
        if self.schedule == "theorem":
            return self._scheduled(state, z, weights, costs, setting)
        b = 0.4 * math.sqrt(m) if self.step is None else self.step
        step = MirrorStep(b / math.sqrt(m), b / m, self.prior_pull, self.mean_form)
        return step(state, z, weights, weights, weights.new_zeros(weights.shape[1]))

    def sequences(self) -> TheoremSchedule:
        """The sequences of schedule="theorem"."""
        chosen = {"alpha": self.alpha, "beta": self.beta, "nu": self.nu}
        return TheoremSchedule(**{k: v for k, v in chosen.items() if v is not None})

    def _scheduled(
        self, state: State, z: Tensor, weights: Tensor, costs: Costs, setting: Setting
    ) -> State:
        """One iteration of the theorem's schedule; min-max weights keep its H positive."""
        layout = setting.layout
        progress = Progress.of(state.memory).after(costs)
        slopes = by_gaussian(like(progress.slopes(costs, layout.first_steps), z), layout)
        slopes = slopes * (layout.groups / layout.draws)  # a shared Gaussian takes its draws' mean
        moved = self.sequences().step(state, z, slopes, weights, int(progress.iteration))
        return replace(moved, memory=progress.tensors())
