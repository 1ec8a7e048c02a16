"""The rule `bdtg`: as the co-author's public code for black-box targeted generation runs it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from casbo.controls import NoiseNorm
from casbo.credit import Costs, score_to_go, shaped, spread, z_score
from casbo.rules.base import Rule, Setting, State, by_gaussian, check_options, like
from casbo.rules.mirror import MeanForm, MirrorStep, check_mirror_options
from casbo.spaces import Layout


@dataclass(frozen=True)
class Bdtg(Rule):
    """z-scores move the mean, their softmax the precision; noise is rescaled to its base norm.

    Arguments:
        mean_step: lr_mu.
        covariance_step: lr_Sigma; None takes 1 / sqrt(m).
        prior_pull: rho, the weight of the pull to the prior.
        mean_form: "mean" or "natural".
    """

    mean_step: float = 1.0
    covariance_step: float | None = None
    prior_pull: float = 0.0
    mean_form: MeanForm = "mean"

    def __post_init__(self) -> None:
        check_mirror_options(self.mean_form, self.prior_pull)
        covariance_step = 1.0 if self.covariance_step is None else self.covariance_step
        check_options(
            mean_step=(self.mean_step, 0, 1e12), covariance_step=(covariance_step, 0, 1e12)
        )

    def norm(self, layout: Layout) -> NoiseNorm:
        return "project"

    def update(self, state: State, draws: Tensor, costs: Costs, setting: Setting) -> State:
        m = setting.layout.coordinates
        togo = score_to_go(costs.values, setting.layout.first_steps)
        scores = shaped(z_score, togo, costs.failed)
        weights = torch.softmax(-scores, 0) * spread(togo, costs.failed)  # Eq. (20)
        count = setting.layout.draws // setting.layout.groups
        mean_weights = by_gaussian(like(scores, draws), setting.layout)
        # a good candidate's outer product lowers the precision along it
        covariance_weights = -by_gaussian(like(weights, draws), setting.layout) / count
        lr = 1 / math.sqrt(m) if self.covariance_step is None else self.covariance_step
        step = MirrorStep(self.mean_step, lr, self.prior_pull, self.mean_form)
        return step(
            state,
            by_gaussian(draws, setting.layout),
            mean_weights / len(mean_weights),
            covariance_weights,
            -covariance_weights.sum(0),
        )
