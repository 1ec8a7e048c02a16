r"""The two noise schedules of TargetDiff, by the names they have in a checkpoint.

Time t = 0..T-1; t = 0 is noised once already. Positions follow a Gaussian chain whose beta rises
as a sigmoid; types a uniform multinomial chain with a cosine schedule (Hoogeboom et al. 2021,
arXiv 2102.05379), whose :math:`\alpha_t` is the square root of the ratio of neighbouring values.
Everything is computed in float64, on the CPU, also while a network is laid out on no device.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from .config import TargetDiffConfig

SMALLEST_RATIO = 1e-3  # of neighbouring cosine values
TINY = 1e-40  # inside a logarithm


@dataclass(frozen=True)
class Schedule:
    """The schedules of a configuration; tensors have shape (T,) and dtype float64."""

    config: TargetDiffConfig

    @cached_property
    def alphas_cumprod(self) -> Tensor:
        """Share of the clean positions' variance that is left at t."""
        return torch.cumprod(1.0 - self.betas, dim=0)

    @cached_property
    def betas(self) -> Tensor:
        """Variance added to the positions at t."""
        c = self.config
        ramp = torch.linspace(
            -6, 6, c.num_diffusion_timesteps, dtype=torch.float64, device="cpu"
        ).sigmoid()
        return ramp * (c.beta_end - c.beta_start) + c.beta_start

    @cached_property
    def log_alphas_v(self) -> Tensor:
        """log of the probability that a type is kept, and not drawn anew, at t."""
        T, s = self.config.num_diffusion_timesteps, self.config.v_beta_s
        u = torch.linspace(0, T + 1, T + 1, dtype=torch.float64, device="cpu") / (T + 1)
        f = torch.cos((u + s) / (1 + s) * math.pi / 2) ** 2
        return 0.5 * (f[1:] / f[:-1]).clamp(SMALLEST_RATIO, 1.0).log()

    @cached_property
    def log_alphas_cumprod_v(self) -> Tensor:
        """log of the probability that a type is the clean one's, and not drawn anew, until t."""
        return torch.cumsum(self.log_alphas_v, dim=0)

    def tensors(self) -> dict[str, Tensor]:
        """All fifteen tensors of a checkpoint by name, float32."""
        beta, bar = self.betas, self.alphas_cumprod
        before = torch.cat([torch.ones(1, dtype=torch.float64, device="cpu"), bar[:-1]])
        variance = beta * (1 - before) / (1 - bar)
        tensors = {
            "betas": beta,
            "alphas_cumprod": bar,
            "alphas_cumprod_prev": before,
            "sqrt_alphas_cumprod": bar.sqrt(),
            "sqrt_one_minus_alphas_cumprod": (1 - bar).sqrt(),
            "sqrt_recip_alphas_cumprod": (1 / bar).sqrt(),
            "sqrt_recipm1_alphas_cumprod": (1 / bar - 1).sqrt(),
            "posterior_mean_c0_coef": beta * before.sqrt() / (1 - bar),
            "posterior_mean_ct_coef": (1 - before) * (1 - beta).sqrt() / (1 - bar),
            "posterior_var": variance,
            "posterior_logvar": torch.cat([variance[1:2], variance[1:]]).log(),
            "log_alphas_v": self.log_alphas_v,
            "log_one_minus_alphas_v": log_one_minus(self.log_alphas_v),
            "log_alphas_cumprod_v": self.log_alphas_cumprod_v,
            "log_one_minus_alphas_cumprod_v": log_one_minus(self.log_alphas_cumprod_v),
        }
        return {name: tensor.float() for name, tensor in tensors.items()}


def log_one_minus(log_a: Tensor) -> Tensor:
    """log(1 - a) from log a."""
    return (1 - log_a.exp() + TINY).log()
