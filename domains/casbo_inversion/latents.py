"""Pictures as latents, noise on them, and what a denoiser is asked to predict."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor

from .errors import InversionError

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True)
class Latents:
    """The autoencoder's posteriors of n pictures: means and standard deviations (n, C, h, w)."""

    means: Tensor
    stds: Tensor

    def sampled(self, pictures: Tensor, noise: Tensor) -> Tensor:
        """Latents of the pictures numbered, drawn with noise of shape (S, C, h, w)."""
        return self.means[pictures] + self.stds[pictures] * noise


@torch.inference_mode()
def encode_pictures(pipe: Any, images: Sequence[Image], microbatch: int) -> Latents:  # noqa: ANN401
    """The posteriors of pictures, scaled as the denoiser sees them, float32 on the CPU."""
    vae, device = pipe.vae, pipe._execution_device
    overflows = vae.dtype == torch.float16 and getattr(vae.config, "force_upcast", False)
    means, stds = [], []
    if overflows:  # diffusers' own pipelines do the same
        vae.to(torch.float32)
    try:
        for first in range(0, len(images), microbatch):
            pixels = pipe.image_processor.preprocess(list(images[first : first + microbatch]))
            found = vae.encode(pixels.to(device, vae.dtype)).latent_dist
            means.append(found.mean.float().cpu())
            stds.append(found.std.float().cpu())
    finally:
        if overflows:
            vae.to(torch.float16)
    mean, std = _normalisation(vae.config, means[0])
    return Latents((torch.cat(means) - mean) / std, torch.cat(stds) / std)


def _normalisation(config: Any, like: Tensor) -> tuple[Tensor, Tensor]:  # noqa: ANN401
    """What is subtracted from the autoencoder's latents, and what they are divided by."""
    factor = getattr(config, "scaling_factor", None) or 1.0
    mean, std = (getattr(config, f"latents_{name}", None) for name in ("mean", "std"))
    if mean is None or std is None:
        return like.new_tensor(getattr(config, "shift_factor", None) or 0.0), like.new_tensor(
            1 / factor
        )
    return tuple(like.new_tensor(v).view(1, -1, 1, 1) for v in (mean, [s / factor for s in std]))  # type: ignore[return-value]


@dataclass(frozen=True)
class NoiseSchedule:
    """The schedule a diffusion model was trained with.

    Arguments:
        scheduler: diffusers' `DDPMScheduler` with the betas of the pipeline's own scheduler.
    """

    scheduler: Any

    @classmethod
    def of(cls, pipe: Any) -> Self:  # noqa: ANN401
        """The schedule of a pipeline with a UNet.

        Raises:
            InversionError: When the pipeline has no UNet from latents to latents, or was not
                trained with a schedule of betas.
        """
        from diffusers import DDPMScheduler

        unet, vae = getattr(pipe, "unet", None), getattr(pipe, "vae", None)
        kind = type(pipe).__name__
        channels = None if vae is None else getattr(vae.config, "latent_channels", None)
        if unet is None or channels is None or unet.config.in_channels != channels:
            raise InversionError(
                f"Expected a text-to-image pipeline with a UNet for the denoising loss, {kind} is "
                "none: score generated pictures instead, or load the text-to-image model."
            )
        if getattr(unet.config, "time_cond_proj_dim", None) is not None:
            raise InversionError(
                "Expected a UNet that is not told the guidance scale, this one is distilled: learn "
                "the token on the model it was distilled from."
            )
        if not hasattr(pipe.scheduler, "alphas_cumprod"):
            raise InversionError(
                "Expected a scheduler with the noise levels of the model's training (alphas), "
                f"{type(pipe.scheduler).__name__} has none: score generated pictures instead."
            )
        return cls(DDPMScheduler.from_config(pipe.scheduler.config))

    @property
    def length(self) -> int:
        """Timesteps of the schedule."""
        return int(self.scheduler.config.num_train_timesteps)

    def task(self, clean: Tensor, noise: Tensor, timesteps: Tensor) -> tuple[Tensor, Tensor]:
        """Noisy latents and what is to be predicted from them, both with shape (S, C, h, w).

        Raises:
            InversionError: When the prediction type is none of epsilon, v_prediction and sample.
        """
        noisy = self.scheduler.add_noise(clean, noise, timesteps)
        kind = self.scheduler.config.prediction_type
        if kind == "epsilon":
            return noisy, noise
        if kind == "v_prediction":
            return noisy, self.scheduler.get_velocity(clean, noise, timesteps)
        if kind == "sample":
            return noisy, clean
        raise InversionError(
            f"Expected a model that predicts epsilon, v_prediction or sample, got {kind!r}."
        )


def size_conditions(
    pipe: Any,  # noqa: ANN401
    size: tuple[int, int],
) -> Callable[[Sequence[Tensor]], dict[str, Any]]:
    """From pooled prompts to the further inputs of a UNet: none, or those of Stable Diffusion XL.

    Arguments:
        pipe: The pipeline.
        size: (width, height) of the pictures.
    """
    kind = getattr(pipe.unet.config, "addition_embed_type", None)
    if kind is None:
        return lambda pooled: {}
    if kind != "text_time" or not hasattr(pipe, "_get_add_time_ids"):
        raise InversionError(
            f"Expected a UNet with the conditions of Stable Diffusion or XL, got {kind!r}."
        )
    side = (size[1], size[0])
    width = pipe.text_encoder_2.config.projection_dim
    ids = pipe._get_add_time_ids(
        side, (0, 0), side, pipe.unet.dtype, text_encoder_projection_dim=width
    ).to(pipe._execution_device)

    def conditions(pooled: Sequence[Tensor]) -> dict[str, Any]:
        (texts,) = pooled
        row = {"text_embeds": texts.to(ids.dtype), "time_ids": ids.expand(len(texts), -1)}
        return {"added_cond_kwargs": row}

    return conditions
