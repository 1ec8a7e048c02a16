"""Carriers of noise for diffusers' schedulers of diffusion models."""

from __future__ import annotations

from typing import Any

from diffusers import (
    DDIMScheduler,
    DDPMScheduler,
    DPMSolverMultistepScheduler,
    EulerAncestralDiscreteScheduler,
    LCMScheduler,
    TCDScheduler,
)
from torch import Tensor

from .carrier import CarriesNoise, StepCall
from .options import with_option


class CarriesDiffusionNoise(CarriesNoise):
    """A carrier whose scheduler mixes pictures and start noise by ``add_noise``."""

    def add_noise(self, original_samples: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """Mix clean latents with the carried start noise, if there is one, else with ``noise``.

        Arguments:
            original_samples: Clean latents, with shape (B, *start_shape).
            noise: The pipeline's own noise, of the same shape.
            timesteps: Timesteps of the mixture.

        Raises:
            ImageError: If the carried start noise has another shape than ``noise``.
        """
        mixed: Tensor = super().add_noise(  # type: ignore[misc]
            original_samples, self._start(noise), timesteps
        )
        return mixed


class CarryingDDIM(CarriesDiffusionNoise, DDIMScheduler):
    """DDIM with noise of strength ``eta`` in (0, 1], whatever eta the pipeline passes."""

    # little noise late keeps a picture close to what its start noise says: it can be steered
    __init__ = with_option(DDIMScheduler, "eta", 0.2, largest=1.0)

    def _settings(self) -> dict[str, Any]:
        return {"eta": self.config.eta}


class CarryingDDPM(CarriesDiffusionNoise, DDPMScheduler):
    """Ancestral sampling, with any variance type."""


class CarryingEulerAncestral(CarriesDiffusionNoise, EulerAncestralDiscreteScheduler):
    """Ancestral sampling with Euler steps."""


class CarryingDPMSolverSDE(CarriesDiffusionNoise, DPMSolverMultistepScheduler):
    """DPM-Solver++ (multistep) for the reverse-time SDE, whatever algorithm the config names."""

    @classmethod
    def from_config(
        cls,
        config: Any = None,  # noqa: ANN401 - a FrozenDict or a dict
        return_unused_kwargs: bool = False,
        **options: Any,  # noqa: ANN401 - the scheduler's own
    ) -> Any:  # noqa: ANN401 - as diffusers has it
        """Make one from a scheduler's configuration; its ``algorithm_type`` is overruled."""
        options["algorithm_type"] = "sde-dpmsolver++"
        return super().from_config(config, return_unused_kwargs, **options)

    def _clean(self, call: StepCall, output: Any) -> Tensor:  # noqa: ANN401
        del call, output
        clean: Tensor = self.model_outputs[-1]  # of DPM-Solver++: as clean latents
        return clean


class CarryingLCM(CarriesDiffusionNoise, LCMScheduler):
    """Latent consistency models: every step predicts the clean latents and noises them again.

    The predicted clean latents are the value of the consistency function, boundary conditions
    included: what such a model is trained to predict, and what the last step returns.
    """

    def _clean(self, call: StepCall, output: Any) -> Tensor:  # noqa: ANN401
        del call
        clean: Tensor = output.denoised
        return clean


class CarryingTCD(CarriesDiffusionNoise, TCDScheduler):
    """Trajectory consistency distillation with noise of strength ``eta`` in (0, 1]."""

    __init__ = with_option(TCDScheduler, "eta", 0.3, largest=1.0)

    def _settings(self) -> dict[str, Any]:
        return {"eta": self.config.eta}

    def _clean(self, call: StepCall, output: Any) -> Tensor:  # noqa: ANN401
        """x_0 from the network's output; TCD's own output is the noisy latents on the way."""
        del output
        sample, prediction = call.sample, call.model_output
        alpha_bar = self.alphas_cumprod[call.timestep]
        if self.config.prediction_type == "sample":
            return prediction
        if self.config.prediction_type == "v_prediction":
            return alpha_bar.sqrt() * sample - (1 - alpha_bar).sqrt() * prediction
        return (sample - (1 - alpha_bar).sqrt() * prediction) / alpha_bar.sqrt()
