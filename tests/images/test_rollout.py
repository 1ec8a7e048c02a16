"""Pipelines as functions of their noise: the untouched pipelines are the oracle."""

from __future__ import annotations

import functools
import inspect
import json
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DDPMScheduler,
    EulerAncestralDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    FluxPipeline,
)
from PIL.Image import Image
from torch import Tensor

import casbo
from casbo.errors import CasboError, RolloutError
from casbo.testing import check_rollout
from casbo_images.errors import ImageError
from casbo_images.pipelines import unpacked
from casbo_images.rollout import DiffusersRollout

from . import tiny_pipelines as tiny

PROMPT = "a cab"
STEPS = 3
#: Other batch sizes round otherwise, and that may move a pixel by one grey level.
GREY_LEVELS = 1
TOLERANCE = 1 / 100  # of the largest pixel in a picture, all of which are above 100

SHORT = {"max_sequence_length": 8}
PIXART = {"use_resolution_binning": False, **SHORT}
IMG2IMG = {"image": tiny.picture(), "strength": 0.7}
INPAINT = {"image": tiny.picture(), "mask_image": tiny.mask()}

#: Name -> pipeline, its further inputs, and K: the start and the steps that take noise. The last
#: step takes none where it ends in clean latents, as flow matching and DDIM by default do.
PIPELINES: dict[str, tuple[Any, dict[str, Any], int]] = {
    "sd": (tiny.stable_diffusion, {}, 4),
    "sdxl": (tiny.stable_diffusion_xl, {}, 3),
    "sd3": (tiny.stable_diffusion_3, SHORT, 3),
    "flux": (tiny.flux, SHORT, 3),
    "pixart": (tiny.pixart, PIXART, 3),
    "img2img": (tiny.stable_diffusion, IMG2IMG, 3),
    "sdxl-img2img": (tiny.stable_diffusion_xl, IMG2IMG, 2),
    "sd3-img2img": (tiny.stable_diffusion_3, {**IMG2IMG, **SHORT}, 3),
    "flux-img2img": (tiny.flux, {**IMG2IMG, **SHORT}, 3),
    "inpaint": (tiny.stable_diffusion, INPAINT, 4),
    "inpaint-weak": (tiny.stable_diffusion, {**INPAINT, "strength": 0.7}, 3),
    "inpaint-9": (lambda kind: tiny.stable_diffusion(kind, 9), INPAINT, 4),
    "sdxl-inpaint": (tiny.stable_diffusion_xl, {**INPAINT, "strength": 0.7}, 2),
    "flux-inpaint": (tiny.flux, {**INPAINT, **SHORT, "strength": 1.0}, 3),
    "flux-inpaint-weak": (tiny.flux, {**INPAINT, **SHORT, "strength": 0.7}, 3),
}


def pipeline(name: str) -> tuple[Any, dict[str, Any]]:
    """A pipeline of the class that takes its inputs, and these."""
    build, inputs, _ = PIPELINES[name]
    if "image" not in inputs:
        return build(), inputs
    form = "Inpaint" if "mask_image" in inputs else "Img2Img"
    family = {
        tiny.stable_diffusion_xl: "StableDiffusionXL",
        tiny.stable_diffusion_3: "StableDiffusion3",
        tiny.flux: "Flux",
    }
    return build(family.get(build, "StableDiffusion") + form + "Pipeline"), inputs


def rollout_of(name: str, **options: Any) -> DiffusersRollout:
    pipe, inputs = pipeline(name)
    return rollout(pipe, **{"pipe_kwargs": inputs, **options})


def rollout(pipe: Any, **options: Any) -> DiffusersRollout:
    sizes = {"height": tiny.SIZE, "width": tiny.SIZE}
    taken = inspect.signature(type(pipe).__call__).parameters
    sizes = {name: value for name, value in sizes.items() if name in taken}
    return DiffusersRollout(pipe, PROMPT, **{"steps": STEPS, **sizes, **options})


def noise_for(made: DiffusersRollout, count: int, seed: int = 0) -> Tensor:
    return torch.randn(count, *made.shape, generator=torch.Generator().manual_seed(seed))


def pixels(images: Any) -> np.ndarray:
    return np.stack([np.asarray(image).astype(int) for image in images])


def assert_same(left: Any, right: Any, levels: int = GREY_LEVELS) -> None:
    np.testing.assert_allclose(pixels(left), pixels(right), rtol=0, atol=levels)


def assert_differ(left: Any, right: Any) -> None:
    """Every picture of the one is another than that of the other."""
    different = np.abs(pixels(left) - pixels(right)).reshape(len(left), -1).max(1)
    assert (different > GREY_LEVELS).all()


@pytest.fixture(scope="module")
def sd() -> DiffusersRollout:
    return rollout_of("sd")


# The contract.


@pytest.mark.parametrize("name", PIPELINES)
def test_it_keeps_the_contract(name: str) -> None:
    made = rollout_of(name)
    report = check_rollout(made, count=2, tolerance=TOLERANCE)
    assert report.predicts
    assert made.shape == (PIPELINES[name][2], 4 * tiny.LATENT**2)


@pytest.mark.parametrize("name", ["sd", "flux", "inpaint-9"])
def test_the_batch_does_not_matter(name: str) -> None:
    made = rollout_of(name)
    noise = noise_for(made, 8)
    together = made(noise).samples
    for microbatch in (1, 2, 3):
        made.microbatch = microbatch
        assert_same(made(noise).samples, together)
    others = noise_for(made, 8, seed=1)
    others[3] = noise[3]
    assert_same(made(others).samples[3:4], together[3:4])
    assert list(made(noise[:0]).samples) == []


@pytest.mark.parametrize("name", ["sd", "flux", "img2img", "inpaint-9"])
def test_the_global_generator_is_neither_used_nor_moved(name: str) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        made = rollout_of(name)
        noise = noise_for(made, 2)
        first = made(noise, predict=[0]).samples
        assert torch.equal(torch.random.get_rng_state(), torch.manual_seed(1).get_state())
        torch.manual_seed(2)
        assert_same(made(noise).samples, first, levels=0)


@pytest.mark.parametrize("name", ["img2img", "inpaint", "inpaint-9", "flux-inpaint"])
def test_equal_noise_makes_equal_pictures_of_a_batch(name: str) -> None:
    """The posterior sample of the autoencoder is no noise of a row's own."""
    made = rollout_of(name)
    images = made(noise_for(made, 1).expand(3, -1, -1)).samples
    assert_same(images, images[:1] * 3)


def original_scheduler(kind: Any, pipe: Any, **options: Any) -> Any:
    """diffusers' own scheduler of that class with the pipeline's configuration, all of it."""
    config = {k: v for k, v in pipe.scheduler.config.items() if k != "_use_default_values"}
    return kind.from_config({**config, "clip_sample": False, **options})


def ddim_levels(scheduler: Any, steps: int) -> list[float]:
    """Standard deviations of DDIM's noise at eta = 1 by the formula."""
    scheduler.set_timesteps(steps)
    products = scheduler.alphas_cumprod
    levels = []
    for time in scheduler.timesteps:
        before = time - scheduler.config.num_train_timesteps // steps
        a, b = products[time], products[before] if before >= 0 else scheduler.final_alpha_cumprod
        levels.append(float(((1 - b) / (1 - a) * (1 - a / b)).clamp(min=0).sqrt()))
    return levels


@pytest.mark.parametrize("spacing", ["leading", "trailing"])
@pytest.mark.parametrize("to_one", [True, False])
def test_dead_steps_are_left_out(spacing: str, to_one: bool) -> None:
    options = {"set_alpha_to_one": to_one, "timestep_spacing": spacing}
    pipe = tiny.stable_diffusion()
    made = rollout(pipe, steps=4, scheduler="ddim", scheduler_options=options)
    original = original_scheduler(DDIMScheduler, pipe, **options)
    alive = [level > 0 for level in ddim_levels(original, 4)]
    assert made.shape[0] == 1 + sum(alive)
    assert sum(alive) == (3 if to_one else 4)


# The untouched pipeline on the same noise.


def draws(seed: int, skip: int, count: int) -> Tensor:
    """What a pipeline draws from a generator, after it has drawn some for other things."""
    generator = torch.Generator().manual_seed(seed)
    shape = (1, 4, tiny.LATENT, tiny.LATENT)
    return torch.stack([torch.randn(shape, generator=generator) for _ in range(skip + count)])[
        skip:
    ]


def untouched(pipe: Any, scheduler: Any, **arguments: Any) -> list[Image]:
    pipe.scheduler = scheduler
    settings = {"prompt": PROMPT, "num_inference_steps": STEPS, **arguments}
    images: list[Image] = pipe(**settings).images
    return images


@pytest.mark.parametrize(
    ("name", "scheduler", "kind", "eta", "skip"),
    [
        ("sd", "ddim", DDIMScheduler, {"eta": 1.0}, 0),
        ("sd", "ddpm", DDPMScheduler, {}, 0),
        ("sd", "euler_ancestral", EulerAncestralDiscreteScheduler, {}, 0),
        ("sdxl", "euler_ancestral", EulerAncestralDiscreteScheduler, {}, 0),
        ("pixart", "ddim", DDIMScheduler, {"eta": 1.0}, 0),
        ("img2img", "ddim", DDIMScheduler, {"eta": 1.0}, 1),
        ("img2img", "euler_ancestral", EulerAncestralDiscreteScheduler, {}, 1),
        ("sdxl-img2img", "ddpm", DDPMScheduler, {}, 1),
        ("inpaint-weak", "ddim", DDIMScheduler, {"eta": 1.0}, 1),
    ],
)
def test_the_picture_is_the_untouched_pipelines(
    name: str, scheduler: str, kind: Any, eta: dict, skip: int
) -> None:
    """Its generator draws the posterior of a picture (skipped), the start, the steps."""
    pipe, inputs = pipeline(name)
    options = {"scheduler_options": eta, "frozen_seed": 7, "pipe_kwargs": inputs}
    made = rollout(pipe, scheduler=scheduler, **options)
    noise = draws(7, skip, made.shape[0] + (name == "inpaint-weak"))
    if name == "inpaint-weak":  # after the start it draws for the masked picture, unused
        noise = torch.cat([noise[:1], noise[2:]])
    (got,) = made(noise.reshape(1, *made.shape)).samples
    original = original_scheduler(kind, pipe)
    sizes = {} if "image" in inputs else {"height": tiny.SIZE, "width": tiny.SIZE}
    generator = [torch.Generator().manual_seed(7)]
    expected = untouched(pipe, original, generator=generator, **eta, **inputs, **sizes)
    assert_same([got], expected)


@pytest.mark.parametrize(("name", "skip"), [("inpaint", 2), ("inpaint-9", 1)])
def test_inpainting_is_the_untouched_pipelines(name: str, skip: int) -> None:
    """On given latents; first its generator draws the posteriors of the pictures."""
    pipe, inputs = pipeline(name)
    made = rollout(pipe, scheduler_options={"eta": 1.0}, frozen_seed=5, pipe_kwargs=inputs)
    start, steps = draws(9, 0, 1), draws(5, skip, made.shape[0] - 1)
    (got,) = made(torch.cat([start, steps]).reshape(1, *made.shape)).samples
    original = original_scheduler(DDIMScheduler, pipe)
    options = {"height": tiny.SIZE, "width": tiny.SIZE, "eta": 1.0}
    generator = [torch.Generator().manual_seed(5)]
    expected = untouched(
        pipe, original, generator=generator, latents=start[0], **inputs, **options
    )
    assert_same([got], expected)


@pytest.mark.parametrize(
    ("name", "skip"), [("sd3", 0), ("flux", 0), ("sd3-img2img", 1), ("flux-img2img", 1)]
)
def test_flow_matching_is_the_untouched_stochastic_sampler(name: str, skip: int) -> None:
    """It draws the start from its generator and the steps from the global one."""
    pipe, inputs = pipeline(name)
    options = {"noise_level": 1.0}
    made = rollout(
        pipe, scheduler="flow_cps", scheduler_options=options, frozen_seed=3, pipe_kwargs=inputs
    )
    start = draws(3, skip, 1)[0]
    if made.latent_shape != start.shape[1:]:
        start = FluxPipeline._pack_latents(start, *start.shape)
    with torch.random.fork_rng():
        torch.manual_seed(4)
        steps = [
            torch.randn(start.shape, generator=torch.default_generator)
            for _ in range(made.shape[0] - 1)
        ]
        noise = torch.stack([start, *steps]).reshape(1, *made.shape)
        (got,) = made(noise).samples
        original = FlowMatchEulerDiscreteScheduler.from_config(
            pipe.scheduler.config, stochastic_sampling=True
        )
        sizes = {"height": tiny.SIZE, "width": tiny.SIZE}
        generator = torch.Generator().manual_seed(3)
        torch.manual_seed(4)
        expected = untouched(pipe, original, generator=generator, **inputs, **sizes)
    assert_same([got], expected)


@pytest.mark.parametrize("name", ["sd", "sdxl", "flux", "img2img", "inpaint"])
def test_the_pipeline_given_is_not_changed(name: str) -> None:
    pipe, inputs = pipeline(name)
    pipe.set_progress_bar_config(desc="mine", disable=True)
    before = dict(vars(pipe))
    parts = dict(pipe.components)

    def plain() -> list[Image]:
        generator = torch.Generator().manual_seed(0)
        return pipe(PROMPT, num_inference_steps=STEPS, generator=generator, **inputs).images

    if name in {"sd", "inpaint"}:
        expected = plain()
        before = dict(vars(pipe))
    made = rollout(pipe, pipe_kwargs=inputs)
    made(noise_for(made, 1), predict=[0])
    assert vars(pipe) == before
    assert all(pipe.components[key] is part for key, part in parts.items())
    assert made.pipe.scheduler is not pipe.scheduler
    if name in {"sd", "inpaint"}:
        assert_same(plain(), expected, levels=0)


def test_rollouts_of_one_pipeline_do_not_disturb_one_another() -> None:
    pipe = tiny.stable_diffusion()
    one, two = rollout(pipe, steps=2), rollout(pipe, steps=4, scheduler="ddpm")
    noises = [noise_for(made, 2) for made in (one, two)]
    before = [made(noise).samples for made, noise in zip((one, two), noises, strict=True)]
    for made, noise, images in zip((two, one), noises[::-1], before[::-1], strict=True):
        assert_same(made(noise).samples, images, levels=0)


# Image-to-image and inpainting.


@pytest.mark.parametrize("name", ["img2img", "sdxl-img2img", "flux-img2img"])
def test_strength_and_picture_count(name: str) -> None:
    pipe, inputs = pipeline(name)
    weak, strong = (
        rollout(pipe, steps=6, pipe_kwargs={**inputs, "strength": strength})
        for strength in (0.4, 0.9)
    )
    assert weak.shape[0] < strong.shape[0]
    noise = noise_for(weak, 2)
    other = rollout(
        pipe, steps=6, pipe_kwargs={**inputs, "strength": 0.4, "image": tiny.picture(3)}
    )
    assert other.shape == weak.shape
    assert_differ(other(noise).samples, weak(noise).samples)
    moved = noise.clone()
    moved[:, 0] += 1
    assert_differ(weak(moved).samples, weak(noise).samples)


@pytest.mark.parametrize("strength", [0.7, 1.0])
@pytest.mark.parametrize("family", ["inpaint", "flux-inpaint"])
def test_inpainting_keeps_what_is_not_masked(family: str, strength: float) -> None:
    """There the latents end as the picture's own, for any noise."""
    pipe, inputs = pipeline(family)
    seen: dict[int, Tensor] = {}

    def look(_: Any, step: int, __: Any, latents: dict[str, Tensor]) -> dict:
        seen[step] = unpacked(pipe, latents["latents"], (tiny.SIZE, tiny.SIZE))
        return latents

    more = {"strength": strength, "callback_on_step_end": look}
    made = rollout(pipe, pipe_kwargs={**inputs, **more})
    images = pixels(made(noise_for(made, 4)).samples)
    last = seen[max(seen)]
    pixel_values = pipe.image_processor.preprocess(inputs["image"])
    with torch.no_grad():
        posterior = pipe.vae.encode(pixel_values).latent_dist
    drawn = posterior.sample(torch.Generator().manual_seed(made.frozen_seed))
    own = (drawn - (pipe.vae.config.shift_factor or 0)) * pipe.vae.config.scaling_factor
    left, right = (slice(None, tiny.LATENT // 2), slice(tiny.LATENT // 2, None))
    torch.testing.assert_close(last[..., left], own[..., left].expand(4, -1, -1, -1))
    assert (last[..., right].std(0) > 0).all()
    for row in range(made.shape[0]):
        moved = noise_for(made, 4)
        moved[:, row] = noise_for(made, 4, seed=1)[:, row]
        assert (pixels(made(moved).samples) != images).any(), row


# Which rows are steered.


@pytest.mark.parametrize("name", ["sd", "flux", "img2img"])
@pytest.mark.parametrize("steered", ["start", "steps", [0, 2], [1]])
def test_rows_that_are_not_steered_are_fixed(name: str, steered: Any) -> None:
    pipe, inputs = pipeline(name)
    made, full = (
        rollout(pipe, steered=steered, pipe_kwargs=inputs),
        rollout(pipe, pipe_kwargs=inputs),
    )
    everything = range(full.shape[0])
    rows = {"start": [0], "steps": list(everything)[1:]}.get(str(steered), steered)
    assert made.rows == tuple(rows)
    assert made.shape == (len(rows), full.shape[1])
    noise = noise_for(made, 2)
    steps = made._found.filled(noise, made.rows, made.frozen_seed)
    filled = torch.stack([value.flatten(1) for value in steps.values()], dim=1)
    assert torch.equal(filled[:, rows], noise)
    for row in set(everything) - set(rows):
        assert torch.equal(filled[0, row], filled[1, row])
    assert_same(made(noise).samples, full(filled).samples, levels=0)
    other = rollout(pipe, steered=steered, pipe_kwargs=inputs, frozen_seed=1)
    assert_differ(other(noise).samples, made(noise).samples)


def test_fixed_rows_are_standard_normal(sd: DiffusersRollout) -> None:
    values = torch.cat(
        [
            torch.cat([row.flatten() for row in sd._found.filled(noise, [0], seed).values()][1:])
            for seed, noise in enumerate(torch.zeros(20, 1, 1, sd.shape[1]))
        ]
    )
    n = len(values)
    assert abs(float(values.mean())) < 6 / n**0.5
    assert abs(float(values.var()) - 1) < 6 * (2 / n) ** 0.5


@pytest.mark.parametrize("steered", ["none", [], [4], [-1], [0.5], [True]])
def test_wrong_rows_are_refused(steered: Any) -> None:
    with pytest.raises(ImageError, match=r"^Expected (steered|row numbers).*got"):
        rollout_of("sd", steered=steered)


def test_a_schedule_whose_steps_take_no_noise_leaves_the_start() -> None:
    one = {"steps": 1, "scheduler": "ddpm"}
    assert rollout_of("sd", **one).shape[0] == 1
    assert rollout_of("sd", **one, steered=[0]).shape[0] == 1
    with pytest.raises(ImageError, match=r"take noise.*steered='start'"):
        rollout_of("sd", **one, steered="steps")


# Predictions.


@pytest.mark.parametrize("name", ["sd", "sdxl", "sd3", "flux", "pixart", "flux-img2img"])
def test_the_last_prediction_is_the_picture(name: str) -> None:
    """A step without noise follows the last row; it moves to what it predicts."""
    pipe, inputs = pipeline(name)
    if name == "sdxl":
        pipe.vae.register_to_config(latents_mean=[0.5, 0, 0, -0.5], latents_std=[1, 2, 1, 0.5])
    diffusion = {"scheduler": "ddim", "scheduler_options": {"set_alpha_to_one": True}}
    made = rollout(
        pipe, pipe_kwargs=inputs, **({} if "flu" in name or name == "sd3" else diffusion)
    )
    noise = noise_for(made, 3)
    trajectories = made(noise, predict=range(made.shape[0]))
    assert set(trajectories.predictions) == set(range(made.shape[0]))
    assert_same(trajectories.predictions[made.shape[0] - 1], trajectories.samples)
    assert_differ(trajectories.predictions[0], trajectories.samples)
    assert_same(made(noise).samples, trajectories.samples, levels=0)


def test_where_no_evaluation_follows_the_prediction_is_the_picture(sd: DiffusersRollout) -> None:
    trajectories = sd(noise_for(sd, 9), predict=[sd.shape[0] - 1])
    assert list(trajectories.predictions[sd.shape[0] - 1]) == list(trajectories.samples)


def test_predictions_are_what_ddim_predicts_next() -> None:
    pipe = tiny.stable_diffusion()
    made = rollout(pipe, scheduler_options={"eta": 1.0})
    noise = draws(2, 0, made.shape[0]).reshape(1, *made.shape)
    predictions = made(noise, predict=range(made.shape[0] - 1)).predictions
    original = original_scheduler(DDIMScheduler, pipe)
    step, clean = original.step, []

    @functools.wraps(step)  # the pipeline asks it whether it takes eta
    def spy(output: Tensor, time: Tensor, sample: Tensor, **options: Any) -> Any:
        alpha = original.alphas_cumprod[time]
        clean.append((sample - (1 - alpha).sqrt() * output) / alpha.sqrt())
        return step(output, time, sample, **options)

    original.step = spy
    untouched(pipe, original, generator=torch.Generator().manual_seed(2), eta=1.0, height=16)
    for row, latents in enumerate(clean):
        with torch.no_grad():
            decoded = pipe.vae.decode(latents / pipe.vae.config.scaling_factor).sample
        expected = pipe.image_processor.postprocess(decoded)
        assert_same(predictions[row], expected)


def test_wrong_steps_and_noise_are_refused(sd: DiffusersRollout) -> None:
    K, D = sd.shape
    for predict in ([K], [-1]):
        with pytest.raises(RolloutError, match=f"from 0 to {K - 1}"):
            sd(noise_for(sd, 1), predict=predict)
    for shape in ((1, K, D + 1), (1, K + 1, D), (K, D)):
        with pytest.raises(RolloutError, match=rf"\(N, {K}, {D}\).*{shape[-1]}"):
            sd(torch.zeros(shape))


# What is written about it.


def test_the_description_tells_rollouts_apart() -> None:
    pipe = tiny.stable_diffusion()
    img2img, inputs = pipeline("img2img")
    variants = [
        rollout(pipe),
        DiffusersRollout(pipe, "b", steps=STEPS, height=16, width=16),
        rollout(pipe, steps=4),
        rollout(pipe, scheduler="ddpm"),
        rollout(pipe, scheduler_options={"eta": 0.5}),
        rollout(pipe, guidance_scale=2.0),
        rollout(pipe, negative_prompt="b"),
        rollout(pipe, steered="start"),
        rollout(pipe, frozen_seed=1),
        rollout(pipe, pipe_kwargs={"guidance_rescale": 0.5}),
        rollout(img2img, pipe_kwargs=inputs),
        rollout(img2img, pipe_kwargs={**inputs, "image": tiny.picture(1)}),
        rollout(img2img, pipe_kwargs={**inputs, "image": noise_picture()}),
        rollout(img2img, pipe_kwargs={**inputs, "strength": 1.0}),
    ]
    texts = [json.dumps(made.describe(), allow_nan=False) for made in variants]
    assert len(set(texts)) == len(texts)
    assert max(map(len, texts)) < 2500  # no pixels
    again = rollout(tiny.stable_diffusion(), microbatch=1)
    assert again.describe() == variants[0].describe()


def noise_picture() -> Tensor:
    return torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))


# Steering.


def brightness(images: list[Image]) -> list[float]:
    return [float(np.asarray(image).mean()) for image in images]


def test_steering_runs_goes_on_and_samples(tmp_path: Path) -> None:
    made = rollout_of("sd", microbatch=4)
    options = {"population": 4, "seed": 1, "direction": "maximize"}
    casbo.steer(made, brightness, queries=8, run=tmp_path / "run", **options)
    resumed = casbo.steer(
        rollout_of("sd", microbatch=4), brightness, queries=16, run=tmp_path / "run", **options
    )
    straight = casbo.steer(made, brightness, queries=16, **options)
    assert torch.equal(resumed.controls.mean, straight.controls.mean)
    assert resumed.best.score == straight.best.score
    path = resumed.best.save(tmp_path / "best.png")
    with PIL.Image.open(path) as saved:
        assert_same([saved], [resumed.best.sample], levels=0)
    assert brightness([resumed.best.sample]) == [resumed.best.score]
    assert_same(resumed.sample(4, seed=1), straight.sample(4, seed=1), levels=0)
    assert_differ(resumed.sample(4, seed=1), resumed.sample(4, seed=2))
    assert (tmp_path / "run" / "report.html").is_file()
    with pytest.raises(CasboError, match="png"):
        resumed.best.save(tmp_path / "best.sdf")
