"""Carriers of noise: the original schedulers on the same noise, marginals, dead steps, errors."""

from __future__ import annotations

import inspect
import math
import threading
import warnings
from typing import Any

import diffusers
import pytest
import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    DDPMScheduler,
    DPMSolverMultistepScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    FluxPipeline,
    LCMScheduler,
    PNDMScheduler,
    StableDiffusionImg2ImgPipeline,
    StableDiffusionInpaintPipeline,
    StableDiffusionPipeline,
    TCDScheduler,
    UNet2DConditionModel,
    UniPCMultistepScheduler,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from casbo_images.errors import ImageError
from casbo_images.schedulers import SCHEDULERS, CarriesNoise, StepNoise, carrying_scheduler
from casbo_images.schedulers.carrier import packed

pytestmark = pytest.mark.filterwarnings("ignore:__array:DeprecationWarning")

SHAPE = (2, 3, 4, 4)
BETAS = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=generator(seed))


def network(latents: Tensor, timestep: Any) -> Tensor:
    """A cheap deterministic stand-in for a denoiser."""
    return 0.3 * latents + 0.2 * math.sin(float(timestep)) + 0.1 * latents.flip(-1)


def trajectory(scheduler: Any, start: Tensor, steps: int, **options: Any) -> list[Tensor]:
    """All latents of a run, as a pipeline makes it."""
    scheduler.set_timesteps(steps)
    latents, path = start, []
    for timestep in scheduler.timesteps:
        scaled = latents
        if hasattr(scheduler, "scale_model_input"):
            scaled = scheduler.scale_model_input(latents, timestep)
        prediction = network(scaled, timestep).to(latents.dtype)
        latents = scheduler.step(prediction, timestep, latents, return_dict=False, **options)[0]
        path.append(latents)
    return path


def spread(scheduler: Any) -> float:
    """Standard deviation of the start noise; flow matching starts at one."""
    return float(getattr(scheduler, "init_noise_sigma", 1.0))


def rows(steps: int, shape: tuple[int, ...] = SHAPE, seed: int = 1) -> dict[int, Tensor]:
    """Noise for every step, drawn in order from one generator."""
    source = generator(seed)
    return {k: torch.randn(shape, generator=source) for k in range(steps)}


def carried(scheduler: Any, noise: StepNoise | None = None, name: str | None = None, **options):
    scheduler = carrying_scheduler(scheduler, name, **options)
    scheduler.begin(noise)
    return scheduler


ORIGINALS = {
    "ddim": (DDIMScheduler, {"eta": 0.2}),
    "ddpm": (DDPMScheduler, {}),
    "euler_ancestral": (EulerAncestralDiscreteScheduler, {}),
    "dpm_sde": (DPMSolverMultistepScheduler, {}),
    "lcm": (LCMScheduler, {}),
    "tcd": (TCDScheduler, {"eta": 0.3}),
}
SDE = {"algorithm_type": "sde-dpmsolver++"}
CONFIGS = [
    ("ddim", {"clip_sample": False}),
    ("ddim", {"prediction_type": "v_prediction", "timestep_spacing": "trailing"}),
    ("ddim", {"prediction_type": "sample", "thresholding": True}),
    ("ddim", {"set_alpha_to_one": False, "steps_offset": 1, "clip_sample": False, **BETAS}),
    ("ddim", {"rescale_betas_zero_snr": True, "prediction_type": "v_prediction"}),
    ("ddpm", {}),
    ("ddpm", {"variance_type": "fixed_large", "prediction_type": "v_prediction"}),
    ("ddpm", {"variance_type": "fixed_small_log", "prediction_type": "sample"}),
    ("ddpm", {"timestep_spacing": "linspace", "clip_sample": False, "thresholding": True}),
    ("euler_ancestral", BETAS),
    ("euler_ancestral", {"prediction_type": "v_prediction", "timestep_spacing": "trailing"}),
    ("dpm_sde", {**SDE, **BETAS}),
    ("dpm_sde", {**SDE, "use_karras_sigmas": True, "solver_order": 3}),
    ("dpm_sde", {**SDE, "prediction_type": "v_prediction", "euler_at_final": True}),
    ("dpm_sde", {**SDE, "prediction_type": "sample", "thresholding": True, "solver_order": 1}),
    ("dpm_sde", {**SDE, "prediction_type": "flow_prediction", "use_flow_sigmas": True}),
    ("lcm", BETAS),
    ("lcm", {"prediction_type": "v_prediction", "clip_sample": True}),
    ("tcd", BETAS),
    ("tcd", {"prediction_type": "sample", "timestep_spacing": "trailing"}),
]


@pytest.mark.parametrize("steps", [1, 4, 20])
@pytest.mark.parametrize(("name", "config"), CONFIGS)
def test_the_trajectory_is_the_original_schedulers(name: str, config: dict, steps: int) -> None:
    kind, options = ORIGINALS[name]
    original = kind(**config)
    ours = carried(original, StepNoise(steps=rows(steps)))
    assert type(ours) is SCHEDULERS[name]
    start = normal(*SHAPE) * spread(original)
    expected = trajectory(original, start, steps, generator=generator(1), **options)
    got = trajectory(ours, start, steps)
    assert all(torch.equal(a, b) for a, b in zip(expected, got, strict=True))


@settings(max_examples=15)
@given(
    eta=st.floats(0.01, 1.0),
    steps=st.integers(1, 12),
    seed=st.integers(0, 2**31),
    spacing=st.sampled_from(["leading", "trailing", "linspace"]),
)
def test_ddim_of_any_strength_is_the_original(
    eta: float, steps: int, seed: int, spacing: str
) -> None:
    original = DDIMScheduler(timestep_spacing=spacing, **BETAS)
    noise = StepNoise(steps=rows(steps, seed=seed))
    ours = carried(original, noise, "ddim", eta=eta)
    expected = trajectory(original, normal(*SHAPE), steps, eta=eta, generator=generator(seed))
    assert torch.equal(trajectory(ours, normal(*SHAPE), steps)[-1], expected[-1])


def test_cps_with_all_noise_new_is_the_stochastic_sampling_of_diffusers() -> None:
    original = FlowMatchEulerDiscreteScheduler(shift=3.0, stochastic_sampling=True)
    ours = carried(original, StepNoise(steps=rows(8)))
    assert type(ours) is SCHEDULERS["flow_cps"]
    expected = trajectory(original, normal(*SHAPE), 8, generator=generator(1))
    for a, b in zip(trajectory(ours, normal(*SHAPE), 8), expected, strict=True):
        torch.testing.assert_close(a, b, atol=2e-6, rtol=1e-5)


@pytest.mark.parametrize("name", ["flow_cps", "flow_grpo"])
def test_flow_samplers_with_little_noise_are_the_ode(name: str) -> None:
    original = FlowMatchEulerDiscreteScheduler(shift=2.0)
    ours = carried(original, StepNoise(steps=rows(8)), name, noise_level=1e-5)
    a = trajectory(original, normal(*SHAPE), 8)
    b = trajectory(ours, normal(*SHAPE), 8)
    torch.testing.assert_close(torch.stack(a), torch.stack(b), atol=2e-4, rtol=0)
    assert torch.equal(original.timesteps, ours.timesteps)
    assert original.step_index == ours.step_index == 8


def formula(name: str, sigma: float, following: float, a: float, x: float, v: float, z: float):
    """One flow step in plain numbers, written from the papers."""
    if following == 0:
        return x - sigma * v
    if name == "flow_cps":
        s = following * math.sin(a * math.pi / 2)
        x0, x1 = x - sigma * v, x + (1 - sigma) * v
        return (1 - following) * x0 + math.sqrt(following**2 - s**2) * x1 + s * z
    dt = following - sigma
    s = a * math.sqrt(sigma / (1 - (following if sigma == 1 else sigma)))
    drift = v * (1 + s**2 * (1 - sigma) / (2 * sigma)) * dt
    return x * (1 + s**2 * dt / (2 * sigma)) + drift + s * math.sqrt(-dt) * z


@pytest.mark.parametrize("name", ["flow_cps", "flow_grpo"])
@settings(max_examples=25)
@given(a=st.floats(0.05, 1.0), steps=st.integers(1, 6), numbers=st.tuples(*[st.floats(-3, 3)] * 3))
def test_flow_steps_are_the_formulas(name: str, a: float, steps: int, numbers: tuple) -> None:
    x, v, z = numbers
    noise = StepNoise(steps={k: torch.full((1, 1), z) for k in range(steps)})
    ours = carried(FlowMatchEulerDiscreteScheduler(shift=3.0), noise, name, noise_level=a)
    ours.set_timesteps(steps)
    sigmas = ours.sigmas.tolist()
    for k, timestep in enumerate(ours.timesteps):
        got = ours.step(torch.full((1, 1), v), timestep, torch.full((1, 1), x)).prev_sample
        expected = formula(name, sigmas[k], sigmas[k + 1], a, x, v, z)
        assert float(got) == pytest.approx(expected, rel=1e-4, abs=1e-4)


# Marginals, on the exact model of data ~ N(MEAN, SPREAD^2).

MEAN, SPREAD, COUNT = 0.4, 0.5, 20_000


def exact(x: Tensor, alpha: float, sigma: float, prediction: str) -> Tensor:
    """The exact model at x = alpha x_0 + sigma noise."""
    variance = alpha**2 * SPREAD**2 + sigma**2
    noise = sigma * (x - alpha * MEAN) / variance
    clean = MEAN + alpha * SPREAD**2 * (x - alpha * MEAN) / variance
    return {
        "epsilon": noise,
        "sample": clean,
        "v_prediction": alpha * noise - sigma * clean,
        "velocity": noise - clean,
    }[prediction]


def scales(scheduler: Any) -> list[tuple[float, float]]:
    """(alpha, sigma) of the marginal before every step and after the last, from the schedule."""
    if isinstance(scheduler, EulerAncestralDiscreteScheduler):
        return [(1.0, float(s)) for s in scheduler.sigmas]
    if isinstance(scheduler, FlowMatchEulerDiscreteScheduler):
        return [(1 - float(s), float(s)) for s in scheduler.sigmas]
    bars = [float(scheduler.alphas_cumprod[int(t)]) for t in scheduler.timesteps] + [1.0]
    return [(math.sqrt(bar), math.sqrt(1 - bar)) for bar in bars]


def deviations(scheduler: Any, steps: int, prediction: str) -> Tensor:
    """Variance over the schedule's marginal, less one, after every step: (steps,)."""
    scheduler.begin(StepNoise(steps=rows(steps, (COUNT, 1), seed=3)))
    scheduler.set_timesteps(steps)
    table = scales(scheduler)
    marginal = [a**2 * SPREAD**2 + s**2 for a, s in table]
    x = table[0][0] * MEAN + math.sqrt(marginal[0]) * normal(COUNT, 1, seed=4)
    found = []
    for (alpha, sigma), expected, timestep in zip(
        table, marginal[1:], scheduler.timesteps, strict=False
    ):
        if isinstance(scheduler, EulerAncestralDiscreteScheduler):
            scheduler.scale_model_input(x, timestep)
        x = scheduler.step(exact(x, alpha, sigma, prediction), timestep, x, return_dict=False)[0]
        found.append(float(x.var()) / expected - 1)
    return torch.tensor(found)


SIX_ERRORS = 6 * math.sqrt(2 / COUNT)  # of a variance, relative to it
PLAIN = {"clip_sample": False, "timestep_spacing": "trailing"}
TRAILING = {"timestep_spacing": "trailing", **BETAS}
VELOCITY = {"prediction_type": "v_prediction"}


@pytest.mark.parametrize(
    ("name", "original", "prediction", "bound", "beginning"),
    [
        ("ddim", DDIMScheduler(**PLAIN, **BETAS), "epsilon", 10.0, 0.0),
        ("ddim", DDIMScheduler(**PLAIN, **BETAS, **VELOCITY), "v_prediction", 10.0, 0.0),
        ("ddpm", DDPMScheduler(**PLAIN, **BETAS, prediction_type="sample"), "sample", 10.0, 0.0),
        ("euler_ancestral", EulerAncestralDiscreteScheduler(**TRAILING), "epsilon", 10.0, 0.0),
        ("dpm_sde", DPMSolverMultistepScheduler(**TRAILING, solver_order=1), "epsilon", 10.0, 0.0),
        # the first steps of Flow-GRPO, at sigma near 1, do not become finer: about a^4 / 4
        ("flow_grpo", FlowMatchEulerDiscreteScheduler(), "velocity", 1.0, 0.1),
    ],
)
def test_variances_are_the_marginals_of_the_schedule(
    name: str, original: Any, prediction: str, bound: float, beginning: float
) -> None:
    """The discretisation costs at most bound / steps of the variance, wherever one looks."""
    last = []
    options = {"eta": 1.0} if name == "ddim" else {}
    for steps in (25, 50, 100):
        ours = carrying_scheduler(original, name, **options)
        found = deviations(ours, steps, prediction).abs()
        assert found.max() < beginning + bound / steps + SIX_ERRORS
        last.append(float(found[-1]))
    assert last[2] < bound / 100 + SIX_ERRORS
    assert last[2] < 0.75 * last[0]


def test_flow_grpo_keeps_the_variance_best() -> None:
    """Why it is the default: CPS makes the same share of noise new however short the step."""
    for steps in (10, 20, 40):
        original = FlowMatchEulerDiscreteScheduler()
        grpo, cps = (
            float(deviations(carrying_scheduler(original, name), steps, "velocity")[-1])
            for name in ("flow_grpo", "flow_cps")
        )
        assert abs(grpo) + SIX_ERRORS < abs(cps)
        assert cps < -0.25


@settings(max_examples=8)
@given(a=st.floats(0.05, 1.0), steps=st.integers(2, 5))
def test_cps_preserves_the_coefficients_of_a_single_point(a: float, steps: int) -> None:
    """For data in one point m, x = (1 - sigma) m + sigma N(0, 1) exactly after every step."""
    noise = StepNoise(steps=rows(steps, (COUNT, 1), seed=5))
    ours = carried(FlowMatchEulerDiscreteScheduler(), noise, "flow_cps", noise_level=a)
    ours.set_timesteps(steps)
    x = normal(COUNT, 1, seed=6)
    sigmas = ours.sigmas.tolist()
    for sigma, following, timestep in zip(sigmas, sigmas[1:], ours.timesteps, strict=False):
        velocity = (x - MEAN) / sigma  # x = m + sigma (x_1 - m)
        x = ours.step(velocity, timestep, x, return_dict=False)[0]
        mean, six_errors = (1 - following) * MEAN, 6 * following / math.sqrt(COUNT)
        assert float(x.mean()) == pytest.approx(mean, abs=six_errors + 1e-5)
        assert float(x.var()) == pytest.approx(following**2, rel=SIX_ERRORS, abs=1e-6)


# Probing.


def probed(original: Any, name: str | None = None, steps: int = 6, **options: Any) -> Any:
    scheduler = carrying_scheduler(original, name, **options)
    trajectory(scheduler, normal(*SHAPE) * spread(scheduler), steps)
    return scheduler


@pytest.mark.parametrize(
    ("name", "original", "dead"),
    [
        ("ddim", DDIMScheduler(set_alpha_to_one=True), 1),
        ("ddim", DDIMScheduler(set_alpha_to_one=False, steps_offset=1), 0),
        ("ddpm", DDPMScheduler(), 1),  # takes no noise at t = 0
        ("ddpm", DDPMScheduler(timestep_spacing="trailing"), 1),  # clamps it to 1e-10
        ("ddpm", DDPMScheduler(timestep_spacing="trailing", variance_type="fixed_large"), 0),
        ("euler_ancestral", EulerAncestralDiscreteScheduler(), 1),  # multiplies it by zero
        ("dpm_sde", DPMSolverMultistepScheduler(), 1),
        ("lcm", LCMScheduler(), 1),
        ("tcd", TCDScheduler(), 1),
        ("flow_cps", FlowMatchEulerDiscreteScheduler(), 1),
        ("flow_grpo", FlowMatchEulerDiscreteScheduler(), 1),
    ],
)
def test_probing_finds_the_dead_steps(name: str, original: Any, dead: int) -> None:
    scheduler = probed(original, name)
    assert scheduler.latent_shape == SHAPE[1:]
    assert len(scheduler.levels) == scheduler.calls == 6
    assert all(level > 0 for level in scheduler.levels[: 6 - dead])
    assert all(level == 0 for level in scheduler.levels[6 - dead :])


def test_levels_are_the_standard_deviations_of_the_schedule() -> None:
    ours = probed(EulerAncestralDiscreteScheduler())
    a, b = ours.sigmas[:-1], ours.sigmas[1:]
    expected = (b**2 * (a**2 - b**2) / a**2).sqrt()
    torch.testing.assert_close(torch.tensor(ours.levels), expected, rtol=1e-4, atol=1e-6)
    cps = probed(FlowMatchEulerDiscreteScheduler(), "flow_cps", noise_level=0.5)
    expected = cps.sigmas[1:] * math.sin(math.pi / 4)
    torch.testing.assert_close(torch.tensor(cps.levels), expected, rtol=1e-4, atol=1e-6)


def test_probing_changes_nothing_and_draws_from_no_global_generator() -> None:
    state = torch.get_rng_state()
    ours = carrying_scheduler(DPMSolverMultistepScheduler(**BETAS), "dpm_sde")
    first = trajectory(ours, normal(*SHAPE), 5)
    ours.begin(None)
    assert torch.equal(first[-1], trajectory(ours, normal(*SHAPE), 5)[-1])
    assert torch.equal(state, torch.get_rng_state())


def test_a_dead_step_needs_no_noise_and_a_living_one_does() -> None:
    noise = rows(6)
    complete = carried(EulerAncestralDiscreteScheduler(), StepNoise(steps=noise))
    without = carried(
        EulerAncestralDiscreteScheduler(), StepNoise(steps={k: noise[k] for k in range(5)})
    )
    start = normal(*SHAPE) * spread(complete)
    assert torch.equal(trajectory(complete, start, 6)[-1], trajectory(without, start, 6)[-1])
    without.begin(StepNoise(steps={k: noise[k] for k in (0, 1, 2, 4)}))
    with pytest.raises(ImageError, match=r"step call 3 .* got noise for \[0, 1, 2, 4\]"):
        trajectory(without, start, 6)


# Start noise.


@pytest.mark.parametrize("name", ["ddim", "ddpm", "euler_ancestral", "dpm_sde", "lcm", "tcd"])
def test_add_noise_takes_the_start_noise(name: str) -> None:
    original = ORIGINALS[name][0](**BETAS)
    picture, own, start = normal(*SHAPE), normal(*SHAPE, seed=2), normal(*SHAPE, seed=3)
    ours = carrying_scheduler(original, name)
    for scheduler in (original, ours):
        scheduler.set_timesteps(4)
    when = ours.timesteps[1:2]
    assert torch.equal(ours.add_noise(picture, own, when), ours_own(ours, picture, own, when))
    assert ours.start_shape == SHAPE[1:]
    ours.begin(StepNoise(start=start.double()))
    for _ in range(2):  # inpainting pipelines mix again in every step
        got = ours.add_noise(picture, own.half(), when)
        assert torch.equal(got, ours_own(ours, picture, start.half(), when))
    shared = ours.add_noise(picture[:1], own[:1], when)
    assert torch.equal(shared, ours_own(ours, picture[:1], start, when))
    for wrong in (normal(3, *SHAPE[1:]), normal(2, 3, 4, 5)):
        ours.begin(StepNoise(start=wrong))
        with pytest.raises(ImageError, match=r"start noise of shape \(2, 3, 4, 4\)"):
            ours.add_noise(picture, own, when)


def ours_own(scheduler: Any, picture: Tensor, noise: Tensor, when: Tensor) -> Tensor:
    """What the parent class, diffusers' own, makes of given noise."""
    parent = next(c for c in type(scheduler).__mro__ if c.__module__.startswith("diffusers"))
    return parent.add_noise(scheduler, picture, noise, when)


def test_scale_noise_takes_the_start_noise_packed_as_the_pipeline_packs() -> None:
    ours = carrying_scheduler(FlowMatchEulerDiscreteScheduler(shift=3.0))
    ours.set_timesteps(4)
    when, sigma = ours.timesteps[1:2], ours.sigmas[1]
    picture, own, start = (normal(2, 4, 6, 8, seed=k) for k in range(3))
    ours.begin(StepNoise(start=start))
    got = ours.scale_noise(picture, when, own)
    torch.testing.assert_close(got, sigma * start + (1 - sigma) * picture)

    def flux(latents: Tensor) -> Tensor:
        return FluxPipeline._pack_latents(latents, 2, 4, 6, 8)

    assert torch.equal(ours.scale_noise(flux(picture), when, flux(own)), flux(got))
    with pytest.raises(ImageError, match="start noise of shape"):
        ours.scale_noise(normal(2, 12, 8), when, normal(2, 12, 8))


@given(
    rows=st.integers(1, 3),
    channels=st.integers(1, 4),
    height=st.integers(1, 4),
    width=st.integers(1, 4),
)
def test_packing_is_that_of_flux(rows: int, channels: int, height: int, width: int) -> None:
    shape = (rows, channels, 2 * height, 2 * width)
    latents = torch.arange(math.prod(shape)).reshape(shape)
    expected = FluxPipeline._pack_latents(latents, *shape)
    assert torch.equal(packed(latents, 4 * channels), expected)
    assert torch.equal(packed(latents[:, None], 4 * channels), expected)  # Qwen-Image
    assert torch.equal(packed(latents, channels), latents.flatten(2).mT)  # Flux 2


# State.


@pytest.mark.parametrize("name", [n for n in SCHEDULERS if not n.startswith("flow")])
def test_calls_of_a_pipeline_are_independent(name: str) -> None:
    ours = carrying_scheduler(ORIGINALS[name][0](**BETAS), name)
    start = normal(*SHAPE) * spread(ours)
    paths = []
    for seed in (1, 2, 1):
        ours.begin(StepNoise(steps=rows(6, seed=seed)), predict=(seed,))
        paths.append(trajectory(ours, start, 6)[-1])
        assert set(ours.predicted) == {seed}
    assert torch.equal(paths[0], paths[2])
    assert not torch.equal(paths[0], paths[1])


def test_schedulers_side_by_side_do_not_mix_noise() -> None:
    start = normal(*SHAPE)
    pair = [carried(DDPMScheduler(), StepNoise(steps=rows(6, seed=seed))) for seed in (1, 2)]
    alone = [trajectory(scheduler, start, 6)[-1] for scheduler in pair]
    latents = [start, start]
    for scheduler, seed in zip(pair, (1, 2), strict=True):
        scheduler.begin(StepNoise(steps=rows(6, seed=seed)))
    for timestep in pair[0].timesteps:
        latents = [
            s.step(network(x, timestep), timestep, x).prev_sample
            for s, x in zip(pair, latents, strict=True)
        ]
    assert all(torch.equal(a, b) for a, b in zip(alone, latents, strict=True))


def test_threads_do_not_mix_noise() -> None:
    def make(seed: int) -> Any:
        return carried(DDPMScheduler(), StepNoise(steps=rows(40, seed=seed)))

    alone = [trajectory(make(seed), normal(*SHAPE), 40)[-1] for seed in range(4)]
    together: dict[int, Tensor] = {}

    def work(seed: int) -> None:
        together[seed] = trajectory(make(seed), normal(*SHAPE), 40)[-1]

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(torch.equal(alone[seed], together[seed]) for seed in range(4))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", SCHEDULERS)
def test_half_precision_is_kept(name: str, dtype: torch.dtype) -> None:
    kind, config = (*ORIGINALS.get(name, (FlowMatchEulerDiscreteScheduler, {}))[:1], BETAS)
    ours = carrying_scheduler(kind(**({} if name.startswith("flow") else config)), name)
    start = (normal(*SHAPE) * spread(ours)).to(dtype)
    trajectory(ours, start, 4)
    assert all(level > 0 for level in ours.levels[:-1])
    ours.begin(StepNoise(steps=rows(4)), predict=range(4))
    path = trajectory(ours, start, 4)
    kept = [*path, *ours.predicted.values()]
    assert len(kept) == 8
    assert all(x.dtype == dtype and x.isfinite().all() for x in kept)


# Predictions.


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
@pytest.mark.parametrize("name", ["ddim", "ddpm", "euler_ancestral", "dpm_sde", "lcm", "tcd"])
def test_predicted_clean_latents_invert_the_noising(name: str, prediction: str) -> None:
    """x = alpha x_0 + sigma noise, and the model told the truth: x_0 must come back."""
    if (name, prediction) == ("euler_ancestral", "sample"):
        pytest.skip("diffusers has no such step")
    plain = {"clip_sample": False} if name in {"ddim", "ddpm", "lcm", "tcd"} else {}
    original = ORIGINALS[name][0](prediction_type=prediction, **plain, **BETAS)
    steps = 5
    ours = carried(original, StepNoise(steps=rows(steps)), name)
    ours.begin(StepNoise(steps=rows(steps)), predict=(1, 3))
    ours.set_timesteps(steps)
    clean, noise = normal(*SHAPE, seed=7), normal(*SHAPE, seed=8)
    for timestep in ours.timesteps:
        bar = float(ours.alphas_cumprod[int(timestep)])
        if name in {"dpm_sde", "euler_ancestral"}:  # whose sigmas are interpolated
            bar = 1 / (1 + float(ours.sigmas[ours.step_index or 0]) ** 2)
        alpha, sigma = math.sqrt(bar), math.sqrt(1 - bar)
        x = alpha * clean + sigma * noise
        if name == "euler_ancestral":
            x = x / alpha
            ours.scale_model_input(x, timestep)
        output = {
            "epsilon": noise,
            "v_prediction": alpha * noise - sigma * clean,
            "sample": clean,
        }[prediction]
        ours.step(output, timestep, x, return_dict=False)
    assert sorted(ours.predicted) == [1, 3]
    for found in ours.predicted.values():
        torch.testing.assert_close(found, clean, atol=2e-3, rtol=2e-3)


@pytest.mark.parametrize("name", ["flow_cps", "flow_grpo"])
def test_flow_matching_predicts_the_clean_end_of_the_line(name: str) -> None:
    ours = carried(FlowMatchEulerDiscreteScheduler(), StepNoise(steps=rows(4)), name)
    ours.begin(StepNoise(steps=rows(4)), predict=range(4))
    ours.set_timesteps(4)
    clean, noise = normal(*SHAPE, seed=7), normal(*SHAPE, seed=8)
    for sigma, timestep in zip(ours.sigmas[:-1], ours.timesteps, strict=True):
        x = (1 - sigma) * clean + sigma * noise
        last = ours.step(noise - clean, timestep, x, return_dict=False)[0]
    for found in (*ours.predicted.values(), last):
        torch.testing.assert_close(found, clean, atol=1e-5, rtol=1e-5)


# Choice.


@pytest.mark.parametrize(
    ("original", "expected"),
    [
        (PNDMScheduler(), "ddim"),
        (EulerDiscreteScheduler(), "ddim"),
        (UniPCMultistepScheduler(), "ddim"),
        (DPMSolverMultistepScheduler(), "ddim"),
        (DPMSolverMultistepScheduler(algorithm_type="sde-dpmsolver++"), "dpm_sde"),
        (UniPCMultistepScheduler(use_flow_sigmas=True), "dpm_sde"),
        (FlowMatchEulerDiscreteScheduler(), "flow_grpo"),
        (FlowMatchEulerDiscreteScheduler(stochastic_sampling=True), "flow_cps"),
        *((kind(), name) for name, (kind, _) in ORIGINALS.items() if name != "dpm_sde"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_the_choice_for_a_pipelines_own_scheduler(original: Any, expected: str) -> None:
    ours = carrying_scheduler(original)
    assert type(ours) is SCHEDULERS[expected]
    assert isinstance(ours, CarriesNoise)
    assert type(carrying_scheduler(ours)) is type(ours)
    probe = probed(original)
    assert all(level > 0 for level in probe.levels[:-1])


def test_every_scheduler_of_diffusers_carries_or_is_refused() -> None:
    """A scheduler is replaced by one that takes noise in every step but the last, or refused."""
    replaced = []
    for name in (name for name in dir(diffusers) if name.endswith("Scheduler")):
        try:
            probe = probed(getattr(diffusers, name)())
        except (TypeError, ImportError):  # it needs arguments or another package
            continue
        except ImageError as error:
            missing = [known for known in SCHEDULERS if repr(known) not in str(error)]
        else:
            replaced.append(name)
            missing = [k for k, level in enumerate(probe.levels[:-1]) if level == 0]
        assert not missing, name
    assert {"HeunDiscreteScheduler", "LMSDiscreteScheduler", "DEISMultistepScheduler"} <= {
        *replaced
    }


def test_the_pipelines_own_configuration_is_kept() -> None:
    """Also what its class, not ours, has by default: PNDM ends at alpha_0 and clips nothing."""
    ours = carrying_scheduler(PNDMScheduler(steps_offset=1, **BETAS), eta=0.5)
    assert not ours.config.set_alpha_to_one
    assert not ours.config.clip_sample
    assert ours.config.beta_end == BETAS["beta_end"]
    assert carrying_scheduler(DDPMScheduler(), "ddim").config.clip_sample
    again = carrying_scheduler(ours)
    assert (ours.config.eta, again.config.eta) == (0.5, 0.5)
    assert (
        carrying_scheduler(DDPMScheduler(), "dpm_sde").config.algorithm_type
        == SDE["algorithm_type"]
    )


def test_options_are_saved_with_the_configuration(tmp_path: Any) -> None:
    for ours, name in (
        (carrying_scheduler(DDIMScheduler(), eta=0.25), "eta"),
        (carrying_scheduler(FlowMatchEulerDiscreteScheduler(), noise_level=0.25), "noise_level"),
    ):
        ours.save_pretrained(tmp_path)
        assert getattr(type(ours).from_pretrained(tmp_path).config, name) == 0.25


@pytest.mark.parametrize(
    ("original", "name", "options", "message"),
    [
        (DDIMScheduler(), "heun", {}, "among 'ddim', .*'flow_grpo', got 'heun'"),
        (DDIMScheduler(), "flow_cps", {}, "scheduler for diffusion.*choose 'ddim', 'ddpm'"),
        (FlowMatchEulerDiscreteScheduler(), "ddim", {}, "choose 'flow_grpo', 'flow_cps'"),
        (UniPCMultistepScheduler(use_flow_sigmas=True), "ddim", {}, "choose 'dpm_sde'"),
        (FlowMatchEulerDiscreteScheduler(invert_sigmas=True), None, {}, "invert_sigmas"),
        (diffusers.CogVideoXDDIMScheduler(), None, {}, "ignores noise.*'ddim', 'ddpm'"),
        (diffusers.CogVideoXDPMScheduler(), "ddim", {}, "ignores noise"),
        (diffusers.EDMEulerScheduler(), None, {}, "another can replace.*'ddim'"),
        ("ddim", None, {}, "expected a diffusers scheduler, got str.*'ddim'"),
        (DDIMScheduler(), None, {"eta": 0.0}, r"eta in \(0, 1\], got 0.0"),
        (DDIMScheduler(), None, {"eta": 1.5}, r"eta in \(0, 1\], got 1.5"),
        (DDIMScheduler(), None, {"noise_level": 1.0}, "got 'noise_level'"),
        (FlowMatchEulerDiscreteScheduler(), None, {"noise_level": math.nan}, "noise_level in"),
        (DDIMScheduler(), None, {"beta_schedule": "none"}, "options that 'ddim' accepts"),
        (DDIMScheduler(prediction_type="sample"), "euler_ancestral", {}, "choose 'ddim'"),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_line(
    original: Any, name: str | None, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ImageError, match=message) as caught:
        carrying_scheduler(original, name, **options)
    assert "\n" not in str(caught.value)


def test_a_brownian_tree_is_refused_unless_replaced_by_name() -> None:
    class DPMSolverSDEScheduler(EulerDiscreteScheduler):
        """Stands in for diffusers' own, which needs torchsde."""

    with pytest.raises(ImageError, match="Brownian tree: choose 'dpm_sde'"):
        carrying_scheduler(DPMSolverSDEScheduler())
    assert type(carrying_scheduler(DPMSolverSDEScheduler(), "dpm_sde")) is SCHEDULERS["dpm_sde"]


@pytest.mark.parametrize("name", SCHEDULERS)
def test_noise_of_another_shape_is_refused(name: str) -> None:
    kind = ORIGINALS.get(name, (FlowMatchEulerDiscreteScheduler,))[0]
    ours = carried(kind(), StepNoise(steps=rows(4, (1, 3, 4, 4))), name)
    with pytest.raises(ImageError, match=r"shape \(2, 3, 4, 4\) for step call 0.*\(1, 3, 4, 4\)"):
        trajectory(ours, normal(*SHAPE), 4)


def test_a_timestep_for_every_token_is_refused() -> None:
    ours = carrying_scheduler(FlowMatchEulerDiscreteScheduler())
    ours.set_timesteps(2)
    x = normal(1, 4, 4)
    with pytest.raises(ImageError, match="per_token_timesteps"):
        ours.step(x, ours.timesteps[0], x, per_token_timesteps=torch.ones(1, 4))


def test_pipelines_are_not_told_of_options_that_are_overruled() -> None:
    """They pass eta and a generator to a step that names them."""
    for kind in SCHEDULERS.values():
        assert not {"eta", "generator"} & set(inspect.signature(kind.step).parameters)


# Real pipelines, tiny.


@pytest.fixture(scope="module")
def parts() -> dict[str, Any]:
    """The components of a Stable Diffusion pipeline with a few thousand random weights."""
    vocab = ["a", "b", "a</w>", "b</w>", "ab</w>", "<|startoftext|>", "<|endoftext|>"]
    tokenizer = CLIPTokenizer(
        vocab={token: index for index, token in enumerate(vocab)},
        merges=[("a", "b</w>")],
        model_max_length=8,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return {
            "unet": UNet2DConditionModel(
                sample_size=8,
                block_out_channels=(4, 8),
                layers_per_block=1,
                norm_num_groups=2,
                cross_attention_dim=8,
                attention_head_dim=2,
                down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
                up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
            ).eval(),
            "vae": AutoencoderKL(
                block_out_channels=(4, 4),
                down_block_types=("DownEncoderBlock2D",) * 2,
                up_block_types=("UpDecoderBlock2D",) * 2,
                latent_channels=4,
                norm_num_groups=2,
            ).eval(),
            "text_encoder": CLIPTextModel(
                CLIPTextConfig(
                    vocab_size=len(vocab),
                    hidden_size=8,
                    intermediate_size=8,
                    num_hidden_layers=1,
                    num_attention_heads=2,
                    max_position_embeddings=8,
                    bos_token_id=5,
                    eos_token_id=6,
                )
            ).eval(),
            "tokenizer": tokenizer,
            "safety_checker": None,
            "feature_extractor": None,
        }


def pipeline(kind: type, parts: dict[str, Any], scheduler: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = kind(**parts, scheduler=scheduler, requires_safety_checker=False)
    made.set_progress_bar_config(disable=True)
    return made


LATENTS = (2, 4, 8, 8)
TEXT = {"prompt": ["a b", "ab"], "num_inference_steps": 4, "output_type": "pt", "eta": 0.0}


@pytest.mark.parametrize("name", ORIGINALS)
def test_a_pipeline_paints_what_the_original_scheduler_paints(name: str, parts: dict) -> None:
    kind, options = ORIGINALS[name]
    plain = {"clip_sample": False} if name != "euler_ancestral" else {}
    config = {**BETAS, "steps_offset": 1, **(SDE if name == "dpm_sde" else plain)}
    original = kind(**config)
    text = {**TEXT, "width": 16, "height": 16}
    expected = pipeline(StableDiffusionPipeline, parts, original)(
        **{**text, **options}, generator=generator(9)
    ).images
    source = generator(9)  # a pipeline draws its start noise first
    start = torch.randn(LATENTS, generator=source)
    noise = {k: torch.randn(LATENTS, generator=source) for k in range(4)}
    ours = carrying_scheduler(original, name)
    painter = pipeline(StableDiffusionPipeline, parts, ours)
    painter(**text, latents=start)
    assert ours.latent_shape == LATENTS[1:]
    assert ours.start_shape is None
    ours.begin(
        StepNoise(steps={k: noise[k] for k, level in enumerate(ours.levels) if level}),
        predict=(0, 3),
    )
    assert torch.equal(painter(**text, latents=start).images, expected)
    assert {k: tuple(x.shape) for k, x in ours.predicted.items()} == {0: LATENTS, 3: LATENTS}


def test_image_to_image_mixes_the_start_noise(parts: dict[str, Any]) -> None:
    original = DDIMScheduler(clip_sample=False, steps_offset=1, set_alpha_to_one=False, **BETAS)
    picture = normal(*LATENTS, seed=4)
    options = {**TEXT, "image": picture, "strength": 0.5}
    expected = pipeline(StableDiffusionImg2ImgPipeline, parts, original)(
        **{**options, "eta": 0.2}, generator=generator(9)
    ).images
    source = generator(9)
    start = torch.randn(LATENTS, generator=source)
    noise = {k: torch.randn(LATENTS, generator=source) for k in range(2)}
    ours = carrying_scheduler(original)
    painter = pipeline(StableDiffusionImg2ImgPipeline, parts, ours)
    painter(**options, generator=generator(3))
    assert len(ours.levels) == 2  # of 4 steps, half
    assert ours.start_shape == ours.latent_shape == LATENTS[1:]
    ours.begin(StepNoise(start=start, steps=noise))
    assert torch.equal(painter(**options, generator=generator(3)).images, expected)


@pytest.mark.parametrize("strength", [0.5, 1.0])
def test_inpainting_mixes_the_start_noise_in_every_step(
    parts: dict[str, Any], strength: float
) -> None:
    original = DDIMScheduler(clip_sample=False, steps_offset=1, set_alpha_to_one=False, **BETAS)
    mask = torch.zeros(1, 1, 16, 16)
    mask[..., :8] = 1.0
    options = {
        **TEXT,
        "image": normal(2, 4, 8, 8, seed=4).clamp(-1, 1),
        "mask_image": mask,
        "masked_image_latents": torch.zeros(LATENTS),
        "strength": strength,
        "width": 16,
        "height": 16,
    }
    expected = pipeline(StableDiffusionInpaintPipeline, parts, original)(
        **{**options, "eta": 0.2}, generator=generator(9)
    ).images
    source = generator(9)
    start = torch.randn(LATENTS, generator=source)
    noise = {k: torch.randn(LATENTS, generator=source) for k in range(4)}
    ours = carrying_scheduler(original)
    painter = pipeline(StableDiffusionInpaintPipeline, parts, ours)
    if strength == 1:  # then it starts from pure noise and takes that as latents
        options["latents"] = start
    ours.begin(StepNoise(start=start, steps=noise))
    assert torch.equal(painter(**options, generator=generator(3)).images, expected)
