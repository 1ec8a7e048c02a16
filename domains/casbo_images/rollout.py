r"""Any diffusers pipeline as a rollout.

The pipeline's own call runs untouched: start noise goes in as its ``latents``, or, where it mixes
noise into a picture, through its scheduler; the noise of every step goes in through the scheduler,
which is replaced by one that carries it (`casbo_images.schedulers`). So adapters, ControlNets,
image-to-image and inpainting work as they do without steering.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import torch
from torch import Tensor

from casbo.controls import base_noise
from casbo.errors import RolloutError
from casbo.rollout import Rollout, Trajectories, to_json

from .errors import ImageError
from .pictures import describe_input, grid, image_digest, image_markup, png_bytes
from .pipelines import (
    RESERVED,
    Offload,
    call_parameters,
    decode_latents,
    load_pipeline,
    takes_start_noise,
    with_scheduler,
)

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline
    from PIL.Image import Image

    from casbo.spaces import Space

    from .schedulers import StepNoise

#: A stream of base noise that no search and no sampling uses.
FROZEN_STREAM = 2
#: Below this standard deviation, in latent units, noise of a step changes no picture.
DEAD_LEVEL = 1e-4
SAVED_GRID = 64  # pictures in grid.png at most

Steered = Literal["all", "start", "steps"] | Sequence[int]


@dataclass(frozen=True)
class NoiseRows:
    """The rows of noise that a pipeline's call takes, found by running it once.

    Arguments:
        calls: For each row the number of the scheduler's step that takes it; -1 is the start.
        levels: The standard deviation with which each enters, in latent units.
        latent_shape: The shape of one row.
        step_calls: How many steps the scheduler takes in all.
        size: (width, height) of the pictures.
    """

    calls: tuple[int, ...]
    levels: tuple[float, ...]
    latent_shape: tuple[int, ...]
    step_calls: int
    size: tuple[int, int]


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

        if microbatch < 1 or steps < 1:
            raise ImageError(
                f"Expected microbatch >= 1 and steps >= 1, got {microbatch} and {steps}."
            )
        self.prompt, self.microbatch, self.frozen_seed = prompt, microbatch, frozen_seed
        self._inputs = dict(pipe_kwargs or {})
        carrying = carrying_scheduler(pipe.scheduler, scheduler, **(scheduler_options or {}))
        self.pipe = with_scheduler(pipe, carrying)
        given = {
            "prompt": prompt,
            "negative_prompt": negative_prompt,
            "num_inference_steps": steps,
            "guidance_scale": guidance_scale,
            "height": height,
            "width": width,
        }
        self._settings = {name: value for name, value in given.items() if value is not None}
        self._check_inputs()
        self._as_latents = takes_start_noise(self.pipe, self._inputs)
        self._all_rows = self._find_rows()
        self.rows = _steered_rows(self._all_rows, steered)
        self.shape = (len(self.rows), _size(self._all_rows.latent_shape))

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
        return self._all_rows.latent_shape

    @property
    def unpacked_shape(self) -> tuple[int, int, int]:
        """(C, h, w) of a latent, also where the pipeline packs it into tokens as Flux does."""
        shape = self.latent_shape
        if len(shape) == 3:
            return shape[0], shape[1], shape[2]
        width, height = self._all_rows.size
        like = torch.zeros(1, *shape)
        unpacked = self.pipe._unpack_latents(like, height, width, self.pipe.vae_scale_factor)
        return unpacked.shape[1], unpacked.shape[2], unpacked.shape[3]

    @property
    def levels(self) -> tuple[float, ...]:
        """The standard deviation with which each steered row enters, in latent units: K numbers."""
        return tuple(self._all_rows.levels[row] for row in self.rows)

    def __call__(self, noise: Tensor, *, predict: Sequence[int] = ()) -> Trajectories:
        """Pictures for rows of noise.

        Arguments:
            noise: With shape (N, K, D).
            predict: Steps k; the prediction after row k is the clean picture that the network
                sees in its next evaluation, for the last row the final picture.

        Raises:
            RolloutError: When the noise has another shape, or a step is none of 0 to K - 1.
        """
        K, D = self.shape
        if noise.ndim != 3 or noise.shape[1:] != (K, D):
            raise RolloutError(f"Expected noise with shape (N, {K}, {D}), got {noise.shape}.")
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
        from .spaces import default_space

        return default_space(self)

    def export(
        self, samples: Sequence[Image], scores: Sequence[Mapping[str, float]], folder: Path
    ) -> list[Path]:
        """PNG files, best first, a grid of them and ``scores.json``."""
        from casbo.atomic import write_atomically

        folder.mkdir(parents=True, exist_ok=True)
        names = [f"{number:03d}.png" for number in range(len(samples))]
        paths = [folder / name for name in names]
        for path, image in zip(paths, samples, strict=True):
            write_atomically(path, png_bytes(image))
        if len(samples) > 1:
            paths.append(folder / "grid.png")
            write_atomically(paths[-1], png_bytes(grid(list(samples[:SAVED_GRID]))))
        rows = [
            {"file": name, "scores": to_json(row)} for name, row in zip(names, scores, strict=True)
        ]
        paths.append(folder / "scores.json")
        write_atomically(paths[-1], (_json(rows) + "\n").encode())
        return paths

    def identify(self, sample: Image) -> str:
        return image_digest(sample)

    def picture(self, sample: Image) -> str:
        return image_markup(sample)

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

    def _check_inputs(self) -> None:
        parameters = call_parameters(self.pipe)
        reserved = sorted(RESERVED & set(self._inputs))
        if reserved:
            raise ImageError(
                f"Expected pipe_kwargs without {reserved}: the rollout sets them; give prompt, "
                "negative_prompt, steps, guidance_scale, height and width as its own arguments."
            )
        unknown = sorted((set(self._inputs) | set(self._settings)) - set(parameters))
        if unknown:
            raise ImageError(
                f"{type(self.pipe).__name__} takes no {', '.join(unknown)}: leave it out."
            )

    @torch.inference_mode()
    def _find_rows(self) -> NoiseRows:
        """Run the pipeline once and note which steps take noise."""
        scheduler = self.pipe.scheduler
        scheduler.begin(None)
        (image,) = self._call(1, {})
        calls = [number for number, level in enumerate(scheduler.levels) if level > DEAD_LEVEL]
        start = float(getattr(scheduler, "init_noise_sigma", 1.0))
        return NoiseRows(
            calls=(-1, *calls),
            levels=(start, *(scheduler.levels[number] for number in calls)),
            latent_shape=tuple(scheduler.latent_shape),
            step_calls=len(scheduler.levels),
            size=image.size,
        )

    @torch.inference_mode()
    def _run(
        self, noise: Tensor, predict: Sequence[int]
    ) -> tuple[list[Image], dict[int, list[Image]]]:
        """Final and predicted pictures of one micro-batch."""
        scheduler = self.pipe.scheduler
        # the clean picture seen after row k is the one predicted by the next step
        after = {step: self._all_rows.calls[self.rows[step]] + 1 for step in predict}
        carried = self._carried(noise)
        scheduler.begin(carried, predict=set(after.values()))
        images = self._call(len(noise), {"latents": carried.start} if self._as_latents else {})
        predictions = {
            step: self._decoded(scheduler.predicted.get(call), images)
            for step, call in after.items()
        }
        return images, predictions

    def _decoded(self, latents: Tensor | None, images: list[Image]) -> list[Image]:
        if latents is None:  # no evaluation comes after the last row
            return images
        return decode_latents(self.pipe, latents, self._all_rows.size)

    def _call(self, count: int, more: Mapping[str, Any]) -> list[Image]:
        """The pipeline's own call for `count` pictures."""
        # whatever else a pipeline draws is the same for every picture of every batch
        generators = [torch.Generator().manual_seed(self.frozen_seed) for _ in range(count)]
        output = self.pipe(
            **self._settings,
            **self._inputs,
            **more,
            generator=generators,
            num_images_per_prompt=count,
            output_type="pil",
        )
        return list(output.images)

    def _carried(self, noise: Tensor) -> StepNoise:
        """Noise (N, K, D) by the step that takes it, rows that are not steered filled in."""
        from .schedulers import StepNoise

        found = self._all_rows
        like = {"device": self.pipe._execution_device, "dtype": self.pipe.dtype}
        by_call = {
            call: self._row(noise, row).reshape(len(noise), *found.latent_shape).to(**like)
            for row, call in enumerate(found.calls)
        }
        start = by_call.pop(-1)
        return StepNoise(start, by_call)

    def _row(self, noise: Tensor, row: int) -> Tensor:
        if row in self.rows:
            return noise[:, self.rows.index(row)]
        frozen = base_noise((1, self.shape[1]), FROZEN_STREAM, self.frozen_seed, row)
        return frozen.expand(len(noise), -1).to(noise)


def _steered_rows(found: NoiseRows, steered: Steered) -> tuple[int, ...]:
    """The numbers of the rows that the noise argument holds."""
    count = len(found.calls)
    named = {"all": range(count), "start": range(1), "steps": range(1, count)}
    if isinstance(steered, str):
        if steered not in named:
            raise ImageError(
                f"Expected steered among {list(named)} or row numbers, got {steered!r}."
            )
        rows = tuple(named[steered])
    else:
        rows = tuple(sorted({int(row) for row in steered}))
    if count == 1 and steered != "start":
        raise ImageError(
            "Expected a scheduler that takes noise in its steps, this one takes none; choose "
            "another, or steer the start noise alone: steered='start'."
        )
    if not rows or rows[0] < 0 or rows[-1] >= count:
        raise ImageError(
            f"Expected row numbers from 0 (start noise) to {count - 1}, got {steered!r}."
        )
    return rows


def _even_parts(noise: Tensor, largest: int) -> Iterator[Tensor]:
    """The rows in parts of about the same size."""
    count = -(-len(noise) // largest)
    yield from noise.tensor_split(max(count, 1))


def _size(shape: Sequence[int]) -> int:
    return int(torch.Size(shape).numel())


def _json(value: object) -> str:
    import json

    return json.dumps(value, indent=1, allow_nan=False)
