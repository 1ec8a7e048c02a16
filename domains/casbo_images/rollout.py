r"""Any diffusers pipeline as a rollout.

The pipeline's own call runs untouched: start noise goes in as its ``latents``, or, where it mixes
noise into a picture, through its scheduler; the noise of every step goes in through the scheduler,
which is replaced by one that carries it (`casbo_images.schedulers`). So adapters, ControlNets,
image-to-image and inpainting work as they do without steering.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor

from casbo.errors import CasboError, RolloutError
from casbo.rollout import Rollout, Trajectories

from .errors import ImageError
from .noise_rows import START, NoiseRows, Steered, steered_rows
from .pictures import colour_layout, describe_input, image_digest, image_markup, save_pictures
from .pipelines import (
    Offload,
    check_call,
    decode_latents,
    inputs_for,
    load_pipeline,
    takes_start_noise,
    unpacked,
    with_scheduler,
)
from .probing import asked_once

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline
    from PIL.Image import Image

    from casbo.spaces import Space


class DiffusersRollout(Rollout):
    """A text-to-image pipeline as a deterministic function of its noise.

    Samples are PIL images. The noise has shape (N, K, D): row 0 is the start noise, the following
    are the steps of the scheduler that take noise, D is the size of a latent. The pipeline given
    is not changed; weights are shared.

    Arguments:
        pipe: A loaded pipeline.
        prompt: What to draw.
        negative_prompt: What not to draw, for pipelines that take one.
        steps: Denoising steps.
        guidance_scale: None takes the pipeline's default.
        scheduler: A name of `casbo_images.schedulers.SCHEDULERS`; None keeps the pipeline's own
            kind where it takes noise, else the nearest that does.
        scheduler_options: Options of that scheduler, such as ``{"eta": 0.5}``.
        height, width: In pixels; None takes the pipeline's default.
        microbatch: Pictures made at a time, at most. Results do not depend on it, to rounding.
        steered: Which rows the noise argument holds: "all", "start", "steps" or row numbers. The
            other rows take fixed noise, the same for every sample.
        frozen_seed: Determines that fixed noise, and whatever else a pipeline draws.
        pipe_kwargs: Further inputs of the pipeline's call: ``image``, ``mask_image``,
            ``strength``, ``ip_adapter_image``, ...

    Raises:
        ImageError: When the pipeline, the scheduler or an option cannot be used.
    """

    def __init__(
        self,
        pipe: DiffusionPipeline,
        prompt: str,
        *,
        negative_prompt: str | None = None,
        steps: int = 20,
        guidance_scale: float | None = None,
        scheduler: str | None = None,
        scheduler_options: Mapping[str, Any] | None = None,
        height: int | None = None,
        width: int | None = None,
        microbatch: int = 8,
        steered: Steered = "all",
        frozen_seed: int = 0,
        pipe_kwargs: Mapping[str, Any] | None = None,
    ) -> None:
        from .schedulers import carrying_scheduler

        if not isinstance(prompt, str):
            raise ImageError(f"Expected one prompt as text, got {prompt!r}.")
        if microbatch < 1 or steps < 1 or frozen_seed < 0:
            raise ImageError(
                "Expected microbatch >= 1, steps >= 1 and frozen_seed >= 0, got "
                f"{microbatch}, {steps} and {frozen_seed}."
            )
        self.prompt, self.microbatch, self.frozen_seed = prompt, microbatch, frozen_seed
        self._inputs = dict(pipe_kwargs or {})
        given = {
            "prompt": prompt,
            "negative_prompt": negative_prompt,
            "num_inference_steps": steps,
            "guidance_scale": guidance_scale,
            "height": height,
            "width": width,
        }
        self._settings = {name: value for name, value in given.items() if value is not None}
        check_call(pipe, set(self._inputs), set(self._settings))
        own = getattr(pipe, "scheduler", None)
        carrying = carrying_scheduler(own, scheduler, **(scheduler_options or {}))
        self.pipe = with_scheduler(pipe, carrying)
        self._found = self._find_rows()
        self.rows = steered_rows(len(self._found.calls), steered)
        self.shape = (len(self.rows), self._found.dim)

    @classmethod
    def from_pretrained(
        cls,
        source: str | Path,
        prompt: str,
        *,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str | None = None,
        offload: Offload = "none",
        **options: Any,  # noqa: ANN401
    ) -> Self:
        """Load a pipeline from a folder or a hub id; further options as for the class.

        Arguments:
            source: The folder or id.
            prompt: What to draw.
            dtype: Of the weights.
            device: None takes CUDA where there is one.
            offload: "none", "model" or "sequential": see `pipelines.load_pipeline`.
            options: See the class.

        Raises:
            ImageError: When it cannot be loaded, or an option cannot be used.
        """
        inputs = options.get("pipe_kwargs")
        pipe = load_pipeline(
            str(source), dtype=dtype, device=device, offload=offload, inputs=inputs
        )
        return cls(pipe, prompt, **options)

    @property
    def latent_shape(self) -> tuple[int, ...]:
        """The shape of one row of noise, as the pipeline's scheduler sees it; D numbers."""
        return self._found.latent_shape

    @property
    def places(self) -> Tensor:
        """Where in a row of noise each latent stands: numbers below D with shape (C, h, w).

        A row is in the order of the scheduler's latents, which Flux packs into tokens.

        Raises:
            RolloutError: When the pipeline packs latents in a way of its own.
        """
        rows = torch.arange(self._found.dim).reshape(1, *self.latent_shape)
        grid = unpacked(self.pipe, rows, self._found.size)
        return grid.reshape(-1, *grid.shape[-2:])

    def __call__(self, noise: Tensor, *, predict: Sequence[int] = ()) -> Trajectories:
        """Pictures for rows of noise.

        Arguments:
            noise: With shape (N, K, D).
            predict: Steps k; the prediction after row k is the clean picture that the network
                sees in its next evaluation, and the final picture where none follows.

        Raises:
            RolloutError: When the noise has another shape, a step is none of 0 to K - 1, or the
                pipeline's predictions cannot be decoded.
        """
        K, D = self.shape
        if noise.ndim != 3 or noise.shape[1:] != (K, D):
            raise RolloutError(
                f"Expected noise with shape (N, {K}, {D}), got {tuple(noise.shape)}."
            )
        if any(not 0 <= step < K for step in predict):
            raise RolloutError(f"Expected steps from 0 to {K - 1}, got {tuple(predict)}.")
        samples: list[Image] = []
        predictions: dict[int, list[Image]] = {step: [] for step in predict}
        for part in _even_parts(noise, self.microbatch):
            images, predicted = self._run(part, predict)
            samples += images
            for step, made in predicted.items():
                predictions[step] += made
        return Trajectories(samples, predictions)

    def space(self) -> Space:
        from .spaces import low_frequencies

        return low_frequencies(self)

    def export(
        self, samples: Sequence[Image], scores: Sequence[Mapping[str, float]], folder: Path
    ) -> list[Path]:
        """PNG files, best first, a grid of them and ``scores.json``."""
        return save_pictures(samples, scores, folder)

    def identify(self, sample: Image) -> str:
        return image_digest(sample)

    def picture(self, sample: Image) -> str:
        return image_markup(sample)

    def point(self, sample: Image) -> Tensor:
        """Which colour is where, in 8 x 8 fields: (192,)."""
        return torch.from_numpy(colour_layout(sample)).flatten()

    def describe(self) -> dict[str, Any]:
        inputs = {name: describe_input(value) for name, value in sorted(self._inputs.items())}
        scheduler = {
            name: describe_input(value)
            for name, value in sorted(self.pipe.scheduler.config.items())
            if not name.startswith("_")
        }
        return {
            **super().describe(),
            "pipeline": type(self.pipe).__name__,
            "model": str(getattr(self.pipe.config, "_name_or_path", "")),
            "dtype": str(self.pipe.dtype),
            "scheduler": {"type": type(self.pipe.scheduler).__name__, **scheduler},
            "settings": self._settings,
            "inputs": inputs,
            "rows": list(self.rows),
            "frozen_seed": self.frozen_seed,
        }

    @torch.no_grad()
    def _find_rows(self) -> NoiseRows:
        """Run the pipeline, its network but once, and note which steps take noise."""
        scheduler = self.pipe.scheduler
        scheduler.begin(None, predict=(0,))
        probe = copy.copy(self)
        probe.pipe = asked_once(self.pipe)
        try:
            (image,) = probe._call(1)
        except CasboError:
            raise
        except (TypeError, ValueError) as error:
            raise ImageError(
                f"Expected inputs that {type(self.pipe).__name__} accepts, got: {error}"
            ) from error
        latents, mixed = scheduler.predicted[0], scheduler.start_shape
        shape = tuple(latents.shape[1:])
        # mixed unpacked means mixed before the first step: then that is where it starts
        as_latents = takes_start_noise(self.pipe, self._inputs) and mixed in {None, shape}
        if not as_latents and mixed is None:
            raise ImageError(
                f"Expected a pipeline that takes its start noise as latents, or whose scheduler "
                f"mixes it with a picture; {type(self.pipe).__name__} does neither."
            )
        steps = (number for number, level in enumerate(scheduler.levels) if level > 0)
        mixed = None if as_latents else mixed
        return NoiseRows((START, *steps), shape, mixed, latents.dtype, image.size)

    @torch.no_grad()
    def _run(
        self, noise: Tensor, predict: Sequence[int]
    ) -> tuple[list[Image], dict[int, list[Image]]]:
        """Final and predicted pictures of one micro-batch."""
        from .schedulers import StepNoise

        found, scheduler = self._found, self.pipe.scheduler
        # the clean picture seen after row k is the one predicted by the next step
        after = {step: found.calls[self.rows[step]] + 1 for step in predict}
        steps = found.filled(noise, self.rows, self.frozen_seed)
        start, latents = steps.pop(START), {}
        if found.mixed_shape is None:
            latents = {"latents": start}
        else:
            start = unpacked(self.pipe, start, found.size).reshape(-1, *found.mixed_shape)
        scheduler.begin(StepNoise(start, steps), predict=set(after.values()))
        images = self._call(len(noise), **latents)
        predictions = {
            step: self._decoded(scheduler.predicted.get(call), images)
            for step, call in after.items()
        }
        return images, predictions

    def _decoded(self, latents: Tensor | None, images: list[Image]) -> list[Image]:
        if latents is None:  # no evaluation comes after the last row
            return images
        return decode_latents(self.pipe, latents, self._found.size)

    def _call(self, count: int, **latents: Tensor) -> list[Image]:
        """The pipeline's own call for `count` pictures."""
        # whatever else a pipeline draws is the same for every picture of every batch
        generators = [torch.Generator().manual_seed(self.frozen_seed) for _ in range(count)]
        output = self.pipe(
            **self._settings,
            **inputs_for(self.pipe, self._inputs, count),
            **latents,
            generator=generators,
            num_images_per_prompt=count,
            output_type="pil",
        )
        return list(output.images)


def _even_parts(noise: Tensor, largest: int) -> Sequence[Tensor]:
    """The rows in parts of about the same size; no part where there are none."""
    count = -(-len(noise) // largest)
    return noise.tensor_split(count) if count else ()
