"""The mixin that makes a diffusers scheduler take its noise from a rollout.

Every diffusers scheduler that injects noise draws it by the function ``randn_tensor`` of its
module. A carrier runs the scheduler's own ``step``, byte for byte, with that one name bound to the
carried noise, so all its options (prediction types, thresholding, sigma schedules, variance types)
hold as they are. The binding is made anew for every call: nothing global changes, and schedulers
that run side by side or in several threads cannot mix their noise.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from math import isqrt
from types import FunctionType, MappingProxyType
from typing import Any

import torch
from torch import Tensor

from ..errors import ImageError

#: Stands in for diffusers' ``randn_tensor``: (shape, generator=, device=, dtype=) -> noise.
Draw = Callable[..., Tensor]

#: A standard deviation too small to be seen in latents: such a step is dead. The last step of DDPM
#: has 1e-10 by a clamp, of which rounding leaves more or less depending on the latents.
DEAD = 1e-4

#: What a pipeline may pass to ``step`` and a carrier decides itself.
OVERRULED = frozenset({"eta", "generator", "variance_noise"})


@dataclass(frozen=True)
class StepNoise:
    """The noise of one call of a pipeline, in standard-normal units.

    Arguments:
        start: What replaces the noise that an image-to-image or inpainting pipeline mixes with
            the latents of its picture (``add_noise``, ``scale_noise``), with shape
            (B, *start_shape); None leaves the pipeline's own, for a text-to-image pipeline takes
            its start noise as ``latents=``.
        steps: Number of the ``step()`` call within the pipeline call (0, 1, ...) -> noise of shape
            (B, *latent_shape). Steps that take none may be left out; noise given to one is unused.
    """

    start: Tensor | None = None
    steps: Mapping[int, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class StepCall:
    """The arguments of one ``step()`` call: tensors of shape (B, *latent_shape)."""

    model_output: Tensor
    timestep: Any
    sample: Tensor
    options: Mapping[str, Any]


class CarriesNoise:
    """Placed before a diffusers scheduler class, makes its noise an argument: :meth:`begin`.

    Attributes:
        calls: ``step()`` calls since :meth:`begin`.
        levels: While probing, the standard deviation with which the noise of each ``step()`` call
            enters the next latents; 0 for a dead step, which takes no noise or ignores it.
        latent_shape: Shape of the latents as ``step()`` saw them, without the batch.
        start_shape: Shape of the noise as ``add_noise`` or ``scale_noise`` first saw it, without
            the batch; None if the pipeline did not call them.
        predicted: Number of the ``step()`` call -> predicted clean latents (B, *latent_shape), in
            the dtype of the latents, for the calls asked for.
    """

    calls: int = 0
    levels: tuple[float, ...] = ()
    latent_shape: tuple[int, ...] | None = None
    start_shape: tuple[int, ...] | None = None
    predicted: Mapping[int, Tensor] = MappingProxyType({})
    _noise: StepNoise | None = None
    _predict: frozenset[int] = frozenset()

    def __init_subclass__(cls, **keywords: Any) -> None:  # noqa: ANN401 - Python's own
        super().__init_subclass__(**keywords)
        step = getattr(super(), "step", None)
        if step is not None and "randn_tensor" not in step.__code__.co_names:
            raise ImageError(
                f"expected {step.__qualname__} of diffusers to draw its noise by randn_tensor, "
                "got a step that does not: install a release that pyproject.toml names"
            )

    def begin(self, noise: StepNoise | None, *, predict: Collection[int] = ()) -> None:
        """Prepare for the next call of the pipeline; to be called before each.

        Arguments:
            noise: The noise of that call; None to probe: noise of a fixed seed is used, and
                ``levels``, ``latent_shape`` and ``start_shape`` are recorded.
            predict: Numbers of the ``step()`` calls whose predicted clean latents are kept.
        """
        self._noise = noise
        self._predict = frozenset(predict)
        self.calls = 0
        self.levels = ()
        self.latent_shape = None
        self.start_shape = None
        self.predicted = {}

    def step(
        self,
        model_output: Tensor,
        timestep: Any,  # noqa: ANN401 - an int or a tensor, as the scheduler has it
        sample: Tensor,
        *,
        return_dict: bool = True,
        **options: Any,  # noqa: ANN401 - those of the scheduler's own step
    ) -> Any:  # noqa: ANN401 - the scheduler's own output class, or a tuple
        """One step of the scheduler on carried noise; see diffusers for arguments and result.

        ``eta``, ``generator`` and ``variance_noise`` are accepted and overruled. Pipelines look
        for them in this signature and, not finding them, do not pass them.

        Arguments:
            model_output: The network's output, guided, with shape (B, *latent_shape).
            timestep: One of the scheduler's timesteps.
            sample: The latents, with shape (B, *latent_shape).
            return_dict: Whether the result is an output object or a tuple.
            options: Other options of the scheduler's own step.

        Raises:
            ImageError: If the noise has another shape than the step asks for, or if there is
                none for a step that uses it.
        """
        options = {name: value for name, value in options.items() if name not in OVERRULED}
        call = StepCall(model_output, timestep, sample, {**options, **self._settings()})
        draw = self._draw_for(call)
        output = self._run(call, draw)
        if self.calls in self._predict:
            clean = self._clean(call, output).to(sample.dtype)
            self.predicted = {**self.predicted, self.calls: clean}
        self.latent_shape = tuple(sample.shape[1:])
        self.calls += 1
        return output if return_dict else output.to_tuple()

    def _settings(self) -> dict[str, Any]:
        """Options of the scheduler's own step that this carrier decides."""
        return {}

    def _clean(self, call: StepCall, output: Any) -> Tensor:  # noqa: ANN401
        """The predicted clean latents of a step that has just been made: (B, *latent_shape)."""
        del call
        clean: Tensor = output.pred_original_sample
        return clean

    def _draw_for(self, call: StepCall) -> Draw:
        """Where this step's noise comes from; while probing, also record its level."""
        if self._noise is None:
            self.levels = (*self.levels, self._level(call))
            return standard_normal(seed=self.calls)
        if self.calls in self._noise.steps:
            return given(self._noise.steps[self.calls], self.calls)
        if self._level(call) > 0:
            raise ImageError(
                f"expected noise for step call {self.calls} of {type(self).__name__}, got noise "
                f"for {sorted(self._noise.steps) or 'none'}: give noise to every call of level > "
                "0, and call begin() before every call of the pipeline"
            )
        return no_noise

    def _level(self, call: StepCall) -> float:
        """Standard deviation of this step's noise in the next latents, measured in float32.

        The step is made on copies of the scheduler with two draws of noise z:
        |prev(z_1) - prev(z_2)| / |z_1 - z_2|.
        """
        call = replace(call, model_output=call.model_output.float(), sample=call.sample.float())
        draws: list[Tensor] = []

        def draw(*arguments: Any, **options: Any) -> Tensor:  # noqa: ANN401
            draws.append(standard_normal(seed=len(draws))(*arguments, **options))
            return draws[-1]

        first, second = (
            # the carried noise is large and never changed: it stays shared
            copy.deepcopy(self, {id(self._noise): self._noise})._run(call, draw).prev_sample
            for _ in range(2)
        )
        if not draws:
            return 0.0
        level = float((first - second).norm() / (draws[0] - draws[1]).norm())
        return 0.0 if level <= DEAD else level

    def _run(self, call: StepCall, draw: Draw) -> Any:  # noqa: ANN401
        """The scheduler's own ``step``, with ``randn_tensor`` bound to ``draw``."""
        original = super().step.__func__  # type: ignore[misc]
        step = FunctionType(
            original.__code__,
            {**original.__globals__, "randn_tensor": draw},
            original.__name__,
            original.__defaults__,
            original.__closure__,
        )
        step.__kwdefaults__ = original.__kwdefaults__
        return step(self, call.model_output, call.timestep, call.sample, **call.options)

    def _start(self, noise: Tensor) -> Tensor:
        """The carried start noise in place of the pipeline's own, or that if none is carried."""
        if self.start_shape is None:
            self.start_shape = tuple(noise.shape[1:])
        start = None if self._noise is None else self._noise.start
        if start is None:
            return noise
        if noise.ndim == 3 and start.ndim > 3:
            start = packed(start, noise.shape[-1])
        if start.shape[1:] != noise.shape[1:] or noise.shape[0] not in {1, start.shape[0]}:
            raise ImageError(
                f"expected start noise of shape {tuple(noise.shape)}, as the pipeline's own, "
                f"got {tuple(start.shape)}: give one row of latents per picture"
            )
        return start.to(device=noise.device, dtype=noise.dtype)


def given(noise: Tensor, number: int) -> Draw:
    """A draw that returns ``noise`` (B, *latent_shape), to be used in step call ``number``."""

    def draw(
        shape: tuple[int, ...], *, device: torch.device, dtype: torch.dtype, **_: object
    ) -> Tensor:
        if tuple(noise.shape) != tuple(shape):
            raise ImageError(
                f"expected noise of shape {tuple(shape)} for step call {number} of the scheduler, "
                f"got {tuple(noise.shape)}: give one row of latents per picture"
            )
        return noise.to(device=device, dtype=dtype)

    return draw


def standard_normal(seed: int) -> Draw:
    """A draw of standard-normal noise from a generator of its own."""

    def draw(
        shape: tuple[int, ...], *, device: torch.device, dtype: torch.dtype, **_: object
    ) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        noise = torch.randn(tuple(shape), generator=generator, dtype=torch.float32)
        return noise.to(device=device, dtype=dtype)

    return draw


def no_noise(
    shape: tuple[int, ...], *, device: torch.device, dtype: torch.dtype, **_: object
) -> Tensor:
    """A draw of zeros, for a dead step."""
    return torch.zeros(tuple(shape), device=device, dtype=dtype)


def packed(latents: Tensor, channels: int) -> Tensor:
    """Latents (B, C, H, W) as tokens (B, H W / p^2, C p^2 = channels), one per p x p patch.

    Flux, Qwen-Image (with a frame axis of length 1) and Flux 2 (p = 1) mix noise and picture
    before this and, when inpainting, once more after it. Returned as they are if they do not fit.
    """
    rows, height, width = latents.shape[0], *latents.shape[-2:]
    grid = latents.reshape(rows, -1, height, width)
    patch = max(1, isqrt(channels // grid.shape[1]))
    if height % patch or width % patch:
        return latents
    grid = grid.reshape(rows, -1, height // patch, patch, width // patch, patch)
    return grid.permute(0, 2, 4, 1, 3, 5).reshape(rows, -1, grid.shape[1] * patch**2)
