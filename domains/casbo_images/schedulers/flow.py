r"""Stochastic samplers for flow matching, and carriers of their noise.

A flow-matching model knows the velocity v of :math:`x_\sigma = (1 - \sigma) x_0 + \sigma x_1`,
:math:`x_1 \sim N(0, I)`, and diffusers samples it by an ODE, which takes no noise. The samplers
here inject noise in each step from :math:`\sigma` to :math:`\sigma' < \sigma`. With
:math:`\hat x_0 = x - \sigma v` and :math:`\hat x_1 = x + (1 - \sigma) v`, strength a and
:math:`z \sim N(0, I)`:

* CPS (coefficients-preserving sampling, arXiv 2509.05952), the DDIM of flow matching:
  :math:`x' = (1 - \sigma') \hat x_0 + \sqrt{\sigma'^2 - s^2} \hat x_1 + s z`,
  :math:`s = \sigma' \sin(a \pi / 2)`;
* Flow-GRPO (arXiv 2505.05470), an Euler-Maruyama step of the SDE, :math:`d = \sigma' - \sigma`:
  :math:`x' = x (1 + s^2 d / 2 \sigma) + v (1 + s^2 (1 - \sigma) / 2 \sigma) d + s \sqrt{-d} z`,
  :math:`s = a \sqrt{\sigma / (1 - \sigma)}`, the denominator taken at :math:`\sigma'` for
  :math:`\sigma = 1`.

The last step, to :math:`\sigma' = 0`, is noise-free and returns :math:`\hat x_0`. Flow-GRPO tends
to the model's marginals as the steps become more. CPS injects the same share of noise in every step
however short, and replaces :math:`x_1` by its mean, so it does not: it draws samples together. For
data in a single point its marginals are exact, and a = 1 is diffusers' ``stochastic_sampling``.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, pi, sin
from typing import Any

import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from diffusers.utils import BaseOutput
from diffusers.utils.torch_utils import randn_tensor
from torch import Tensor

from ..errors import ImageError
from .carrier import CarriesNoise
from .options import with_option


@dataclass
class FlowStepOutput(BaseOutput):
    """Next latents and predicted clean latents of a flow-matching step: (B, *latent_shape)."""

    prev_sample: Tensor
    pred_original_sample: Tensor


class FlowMatchSDEScheduler(FlowMatchEulerDiscreteScheduler):
    """What the stochastic samplers for flow matching share; a subclass gives ``moments``."""

    def moments(
        self, sample: Tensor, velocity: Tensor, sigma: Tensor, following: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Mean (B, *latent_shape) and standard deviation () of the next latents.

        Arguments:
            sample: Latents at noise level ``sigma``, with shape (B, *latent_shape).
            velocity: The network's output, of the same shape.
            sigma: Noise level, a number in (0, 1].
            following: Next noise level, in (0, sigma).
        """
        raise NotImplementedError

    def step(
        self,
        model_output: Tensor,
        timestep: Any,  # noqa: ANN401 - a float or a tensor, as the parent has it
        sample: Tensor,
        *,
        generator: torch.Generator | None = None,
        per_token_timesteps: Tensor | None = None,
        return_dict: bool = True,
    ) -> FlowStepOutput | tuple[Tensor, ...]:
        """One step of the schedule, computed in float32; as the parent's.

        Arguments:
            model_output: The velocity, with shape (B, *latent_shape).
            timestep: One of the scheduler's timesteps.
            sample: The latents, with shape (B, *latent_shape).
            generator: Where the noise is drawn from.
            per_token_timesteps: Not supported.
            return_dict: Whether the result is an output object or a tuple.

        Raises:
            ImageError: If every token has a timestep of its own.
        """
        if per_token_timesteps is not None:
            raise ImageError(
                "expected one timestep for all tokens, got per_token_timesteps: a pipeline that "
                "conditions on clean frames cannot be steered; use one that does not"
            )
        if self.step_index is None:
            self._init_step_index(timestep)
        sigma, following = self.sigmas[self.step_index], self.sigmas[self.step_index + 1]
        latents, velocity = sample.to(torch.float32), model_output.to(torch.float32)
        clean = latents - sigma * velocity
        proceeded = clean
        if following > 0:
            mean, deviation = self.moments(latents, velocity, sigma, following)
            noise = randn_tensor(
                latents.shape, generator=generator, device=latents.device, dtype=latents.dtype
            )
            proceeded = mean + deviation * noise
        self._step_index += 1
        output = FlowStepOutput(proceeded.to(model_output.dtype), clean)
        return output if return_dict else output.to_tuple()


class FlowMatchCPSScheduler(FlowMatchSDEScheduler):
    """Coefficients-preserving sampling: ``noise_level`` a in (0, 1], 1 for all noise made new."""

    __init__ = with_option(FlowMatchEulerDiscreteScheduler, "noise_level", 0.7, largest=1.0)

    def moments(
        self, sample: Tensor, velocity: Tensor, sigma: Tensor, following: Tensor
    ) -> tuple[Tensor, Tensor]:
        angle = self.config.noise_level * pi / 2
        clean, noise = sample - sigma * velocity, sample + (1 - sigma) * velocity
        mean = (1 - following) * clean + following * cos(angle) * noise
        return mean, following * sin(angle)


class FlowMatchGRPOScheduler(FlowMatchSDEScheduler):
    """The SDE of Flow-GRPO by Euler-Maruyama steps: ``noise_level`` a > 0."""

    __init__ = with_option(FlowMatchEulerDiscreteScheduler, "noise_level", 0.7)

    def moments(
        self, sample: Tensor, velocity: Tensor, sigma: Tensor, following: Tensor
    ) -> tuple[Tensor, Tensor]:
        length = following - sigma
        rest = 1 - torch.where(sigma == 1, following, sigma)
        deviation = self.config.noise_level * (sigma / rest).sqrt()
        half = deviation**2 / (2 * sigma)
        mean = sample * (1 + half * length) + velocity * (1 + half * (1 - sigma)) * length
        return mean, deviation * (-length).sqrt()


class CarriesFlowNoise(CarriesNoise):
    """A carrier whose scheduler mixes pictures and start noise by ``scale_noise``."""

    def scale_noise(self, sample: Tensor, timestep: Tensor, noise: Tensor) -> Tensor:
        """Mix clean latents with the carried start noise, if there is one, else with ``noise``.

        Arguments:
            sample: Clean latents, with shape (B, *start_shape).
            timestep: Timesteps of the mixture.
            noise: The pipeline's own noise, of the same shape as ``sample``.

        Raises:
            ImageError: If the carried start noise has another shape than ``noise``; latents are
                packed into tokens where ``noise`` is.
        """
        mixed: Tensor = super().scale_noise(  # type: ignore[misc]
            sample, timestep, self._start(noise)
        )
        return mixed


class CarryingFlowCPS(CarriesFlowNoise, FlowMatchCPSScheduler):
    """Coefficients-preserving sampling on carried noise."""


class CarryingFlowGRPO(CarriesFlowNoise, FlowMatchGRPOScheduler):
    """The SDE of Flow-GRPO on carried noise."""
