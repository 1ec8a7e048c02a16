"""diffusers pipelines: loading one, copying one for a scheduler of ours, decoding its latents."""

from __future__ import annotations

import copy
import inspect
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from casbo.errors import RolloutError, require

from .errors import ImageError

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline
    from PIL.Image import Image

Offload = Literal["none", "model", "sequential"]
OFFLOADS: tuple[Offload, ...] = ("none", "model", "sequential")

#: What loading raises: no such file, no such class, weights of other shapes, a broken index, ...
LOAD_ERRORS = (
    AttributeError,
    ImportError,
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)
#: Arguments of a pipeline's call that a rollout always gives.
NEEDED = frozenset(
    {"prompt", "num_inference_steps", "generator", "num_images_per_prompt", "output_type"}
)
#: Arguments that nobody but the rollout may give.
RESERVED = NEEDED | {
    "negative_prompt",
    "guidance_scale",
    "height",
    "width",
    "latents",
    "eta",
    "return_dict",
}
#: Pipelines that want their picture once for every generator they are given, not once in all
#: (diffusers 0.42; the others repeat it themselves).
REPEATING = frozenset({"StableDiffusion3Img2ImgPipeline", "StableDiffusion3PAGImg2ImgPipeline"})
#: Inputs that make a pipeline one for image-to-image, or for inpainting.
PICTURES = frozenset({"image", "mask_image"})


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
            ``mask_image`` inpainting, unless the pipeline is one already.

    Raises:
        ImageError: When it cannot be loaded; the message has the cause.
    """
    diffusers = require("diffusers", "images")
    place = _checked_device(device, offload)
    try:
        with warnings.catch_warnings():  # renamed between the releases that we support
            warnings.filterwarnings("ignore", message=".*torch_dtype.*")
            pipe = diffusers.DiffusionPipeline.from_pretrained(source, torch_dtype=dtype)
        pipe = _fitting(diffusers, pipe, PICTURES & set(inputs or {}))
    except LOAD_ERRORS as error:
        raise _not_loaded(source, error) from error
    if offload == "none":
        return pipe.to(place)
    require("accelerate", "images")
    if offload == "model":
        pipe.enable_model_cpu_offload(device=place)
    else:
        pipe.enable_sequential_cpu_offload(device=place)
    return pipe


def _checked_device(device: torch.device | str | None, offload: str) -> torch.device:
    if offload not in OFFLOADS:
        raise ImageError(f"Expected offload among {list(OFFLOADS)}, got {offload!r}.")
    default = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        place = torch.device(default if device is None else device)
        torch.empty(0, device=place)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).partition("\n")[0]
        raise ImageError(f"Expected a device of this machine, got {device!r} ({reason})") from None
    if offload != "none" and place.type == "cpu":
        raise ImageError(
            f"Expected a device other than the CPU for offload={offload!r}: there is nothing to "
            "move weights to. Leave offload at 'none'."
        )
    return place


def _not_loaded(source: str, error: Exception) -> ImageError:
    reason = " ".join(str(error).split())[:300]
    return ImageError(
        f"Expected a diffusers pipeline in {source!r}: a folder with model_index.json, or the "
        f"id of one on the hub. Loading it failed ({type(error).__name__}: {reason})"
    )


def _fitting(diffusers: Any, pipe: Any, pictures: frozenset[str]) -> Any:  # noqa: ANN401
    """The pipeline if it takes just these pictures, else its relative that does."""
    if not pictures or pictures == PICTURES & set(call_parameters(pipe)):
        return pipe
    if "mask_image" in pictures:
        return diffusers.AutoPipelineForInpainting.from_pipe(pipe)
    return diffusers.AutoPipelineForImage2Image.from_pipe(pipe)


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


def check_call(pipe: DiffusionPipeline, inputs: set[str], settings: set[str]) -> None:
    """Refuse a pipeline that is none for pictures, and arguments that it has not.

    Arguments:
        pipe: The pipeline.
        inputs: Names of ``pipe_kwargs``.
        settings: Names of the arguments that the rollout gives.
    """
    name, known = type(pipe).__name__, set(call_parameters(pipe))
    if missing := sorted(NEEDED - known):
        raise ImageError(
            f"Expected a pipeline whose call takes {', '.join(sorted(NEEDED))}, as those from "
            f"text to image do; {name} takes no {', '.join(missing)}."
        )
    if reserved := sorted(RESERVED & inputs):
        raise ImageError(
            f"Expected pipe_kwargs without {', '.join(reserved)}: the rollout sets them; give "
            "prompt, negative_prompt, steps, guidance_scale, height and width as its own arguments."
        )
    if unknown := sorted((inputs | settings) - known):
        relative = (
            "; pictures need its relative, diffusers.AutoPipelineForImage2Image.from_pipe(pipe) "
            "or AutoPipelineForInpainting"
        )
        hint = relative if PICTURES & set(unknown) else ""
        raise ImageError(f"{name} takes no {', '.join(unknown)}: leave it out{hint}.")


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


def inputs_for(pipe: DiffusionPipeline, inputs: Mapping[str, Any], count: int) -> dict[str, Any]:
    """The inputs of a call for `count` pictures."""
    if type(pipe).__name__ not in REPEATING:
        return dict(inputs)
    image = inputs["image"]
    return {**inputs, "image": count * (image if isinstance(image, list) else [image])}


def unpacked(pipe: DiffusionPipeline, latents: Tensor, size: tuple[int, int]) -> Tensor:
    """Latents (N, C, ..., h, w), also where the pipeline packs them into tokens (N, T, P).

    Arguments:
        pipe: The pipeline.
        latents: As its scheduler sees them.
        size: (width, height) of the pictures, in pixels.

    Raises:
        RolloutError: When the pipeline has a packing of its own.
    """
    if latents.ndim != 3:
        return latents
    if not hasattr(pipe, "_unpack_latents"):
        raise RolloutError(
            f"Expected latents packed as Flux packs them, {type(pipe).__name__} has a way of its "
            "own: there are no predictions and no low frequencies; give space='per_step'."
        )
    width, height = size
    grids: Tensor = pipe._unpack_latents(latents, height, width, pipe.vae_scale_factor)
    return grids


@torch.no_grad()
def decode_latents(pipe: DiffusionPipeline, latents: Tensor, size: tuple[int, int]) -> list[Image]:
    """Pictures from latents as a pipeline's scheduler sees them.

    Arguments:
        pipe: The pipeline.
        latents: With shape (N, C, h, w), or packed as Flux does, (N, tokens, 4 C).
        size: (width, height) of the pictures wanted, in pixels.

    Raises:
        RolloutError: When the pipeline has no autoencoder, or a packing of its own.
    """
    vae = getattr(pipe, "vae", None)
    if vae is None:
        raise RolloutError(
            f"Expected no predictions from {type(pipe).__name__}, which has no autoencoder (vae) "
            "to decode them: score final pictures only."
        )
    overflows = vae.dtype == torch.float16 and getattr(vae.config, "force_upcast", False)
    if overflows:  # diffusers' own pipelines do the same
        vae.to(torch.float32)
    try:
        grids = unpacked(pipe, latents, size).to(vae.dtype)
        decoded = vae.decode(_unscaled(vae.config, grids), return_dict=False)[0]
    finally:
        if overflows:
            vae.to(torch.float16)
    if decoded.ndim == 5:  # the autoencoder of Qwen-Image makes videos: take the one frame
        decoded = decoded[:, :, 0]
    images: list[Image] = pipe.image_processor.postprocess(decoded, output_type="pil")
    return [image if image.size == size else image.resize(size) for image in images]


def _unscaled(config: Any, latents: Tensor) -> Tensor:  # noqa: ANN401
    """Latents as the autoencoder takes them."""
    latents = latents / (getattr(config, "scaling_factor", None) or 1.0)
    mean, std = (getattr(config, f"latents_{name}", None) for name in ("mean", "std"))
    if mean is None or std is None:
        return latents + (getattr(config, "shift_factor", None) or 0.0)
    shape = (1, -1, *[1] * (latents.ndim - 2))
    mean, std = (latents.new_tensor(value).view(shape) for value in (mean, std))
    return latents * std + mean
