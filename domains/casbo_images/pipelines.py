"""diffusers pipelines: loading one, copying one for a scheduler of ours, decoding its latents."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from casbo.errors import require

from .errors import ImageError

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline
    from PIL.Image import Image

Offload = Literal["none", "model", "sequential"]
OFFLOADS: tuple[Offload, ...] = ("none", "model", "sequential")

#: Arguments of a pipeline's call that a rollout gives itself.
RESERVED = frozenset(
    {
        "prompt",
        "negative_prompt",
        "num_inference_steps",
        "guidance_scale",
        "height",
        "width",
        "latents",
        "generator",
        "eta",
        "num_images_per_prompt",
        "output_type",
        "return_dict",
    }
)


def load_pipeline(
    source: str,
    *,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str | None = None,
    offload: Offload = "none",
    inputs: Mapping[str, Any] | None = None,
) -> DiffusionPipeline:
    """A pipeline from a local folder or a hub id.

    Arguments:
        source: The folder or id.
        dtype: Of the weights.
        device: Where it runs; None takes CUDA where there is one.
        offload: "model" or "sequential" keeps weights in main memory and moves a whole model, or
            one layer, to the device when it runs (needs accelerate and a device beyond the CPU).
        inputs: Further inputs of the pipeline's call: an ``image`` makes it image-to-image, with a
            ``mask_image`` inpainting.

    Raises:
        ImageError: When it cannot be loaded; the message has the cause.
    """
    diffusers = require("diffusers", "images")
    place = ("cuda" if torch.cuda.is_available() else "cpu") if device is None else device
    if offload not in OFFLOADS:
        raise ImageError(f"Expected offload among {list(OFFLOADS)}, got {offload!r}.")
    try:
        pipe = _loader(diffusers, inputs or {}).from_pretrained(source, torch_dtype=dtype)
    except (OSError, ValueError, ImportError, KeyError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:300]
        raise ImageError(
            f"Expected a diffusers pipeline in {source!r}: a folder with model_index.json, or the "
            f"id of one on the hub. Loading it failed ({type(error).__name__}: {reason})"
        ) from error
    return _placed(pipe, torch.device(place), offload)


def _loader(diffusers: Any, inputs: Mapping[str, Any]) -> Any:  # noqa: ANN401
    """The class that loads a pipeline for these inputs."""
    if "mask_image" in inputs:
        return diffusers.AutoPipelineForInpainting
    if "image" in inputs:
        return diffusers.AutoPipelineForImage2Image
    return diffusers.DiffusionPipeline


def _placed(pipe: DiffusionPipeline, device: torch.device, offload: Offload) -> DiffusionPipeline:
    if offload == "none":
        return pipe.to(device)
    if device.type == "cpu":
        raise ImageError(
            f"Expected a device other than the CPU for offload={offload!r}: there is nothing to "
            "move weights to. Leave offload at 'none'."
        )
    require("accelerate", "images")
    if offload == "model":
        pipe.enable_model_cpu_offload(device=device)
    else:
        pipe.enable_sequential_cpu_offload(device=device)
    return pipe


def with_scheduler(pipe: DiffusionPipeline, scheduler: object) -> DiffusionPipeline:
    """The same pipeline, models, adapters and hooks shared, with another scheduler.

    The one given keeps its own scheduler and progress bar.
    """
    other = copy.copy(pipe)
    other.scheduler = scheduler
    other.set_progress_bar_config(disable=True)
    return other


def call_parameters(pipe: DiffusionPipeline) -> Mapping[str, inspect.Parameter]:
    """The parameters of a pipeline's call by name."""
    return inspect.signature(type(pipe).__call__).parameters


def takes_start_noise(pipe: DiffusionPipeline, inputs: Mapping[str, Any]) -> bool:
    """Whether start noise goes in as ``latents``.

    Image-to-image pipelines have no such argument, or mean something else by it: they mix a
    picture with noise through their scheduler, and that is where ours comes in.
    """
    parameters = call_parameters(pipe)
    if "latents" not in parameters:
        return False
    if "strength" not in parameters or "image" not in inputs:
        return True
    strength = inputs.get("strength", parameters["strength"].default)
    return float(strength) >= 1.0 and "mask_image" in inputs


@torch.inference_mode()
def decode_latents(pipe: DiffusionPipeline, latents: Tensor, size: tuple[int, int]) -> list[Image]:
    """Pictures from latents as a pipeline's scheduler sees them.

    Arguments:
        pipe: The pipeline.
        latents: With shape (N, C, h, w), or packed as Flux does, (N, tokens, 4 C).
        size: (width, height) of the pictures wanted, in pixels.
    """
    vae = pipe.vae
    if latents.ndim == 3:
        latents = pipe._unpack_latents(latents, size[1], size[0], pipe.vae_scale_factor)
    overflows = vae.dtype == torch.float16 and getattr(vae.config, "force_upcast", False)
    if overflows:  # diffusers' own pipelines do the same
        vae.to(torch.float32)
    decoded = vae.decode(_unscaled(vae.config, latents.to(vae.dtype)), return_dict=False)[0]
    if overflows:
        vae.to(torch.float16)
    images: list[Image] = pipe.image_processor.postprocess(decoded, output_type="pil")
    return [image if image.size == size else image.resize(size) for image in images]


def _unscaled(config: Any, latents: Tensor) -> Tensor:  # noqa: ANN401
    """Latents as the autoencoder takes them."""
    mean, std = (getattr(config, f"latents_{name}", None) for name in ("mean", "std"))
    if mean is not None and std is not None:
        mean, std = (latents.new_tensor(value).view(1, -1, 1, 1) for value in (mean, std))
        return latents * std / config.scaling_factor + mean
    return latents / config.scaling_factor + (getattr(config, "shift_factor", None) or 0.0)
