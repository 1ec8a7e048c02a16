"""Pipelines as they come: loaded from folders, with other inputs, in other precisions, refused."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler
from torch import Tensor

from casbo.errors import RolloutError
from casbo_images.errors import ImageError
from casbo_images.pipelines import (
    PICTURES,
    RESERVED,
    _unscaled,
    call_parameters,
    inputs_for,
    load_pipeline,
    takes_start_noise,
    with_scheduler,
)
from casbo_images.rollout import DiffusersRollout

from . import tiny_pipelines as tiny

OPTIONS: dict[str, Any] = {"steps": 2, "height": tiny.SIZE, "width": tiny.SIZE}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tiny-sd")
    tiny.stable_diffusion().save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def pipe() -> Any:
    return tiny.stable_diffusion()


def noise_for(rollout: DiffusersRollout, count: int = 2) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(count, *rollout.shape, generator=generator)


def pictures(rollout: DiffusersRollout, noise: Tensor) -> np.ndarray:
    return np.stack([np.asarray(image).astype(int) for image in rollout(noise).samples])


def one_line(error: pytest.ExceptionInfo) -> bool:
    return "\n" not in str(error.value) and len(str(error.value)) < 700


# Loading.


@pytest.mark.parametrize(
    "build",
    [
        tiny.stable_diffusion,
        tiny.stable_diffusion_xl,
        tiny.stable_diffusion_3,
        tiny.flux,
        tiny.pixart,
    ],
)
def test_a_saved_pipeline_makes_the_live_ones_pictures(build: Any, tmp_path: Path) -> None:
    pipe = build()
    pipe.save_pretrained(tmp_path)
    known = set(call_parameters(pipe))
    inputs = {"max_sequence_length": 8, "use_resolution_binning": False}
    inputs = {name: value for name, value in inputs.items() if name in known}
    if build is tiny.stable_diffusion:
        inputs = {}
    live = DiffusersRollout(pipe, "a cab", **OPTIONS, pipe_kwargs=inputs)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*torch_dtype.*")
        loaded = DiffusersRollout.from_pretrained(
            tmp_path, "a cab", device="cpu", **OPTIONS, pipe_kwargs=inputs
        )
    noise = noise_for(live)
    np.testing.assert_array_equal(pictures(loaded, noise), pictures(live, noise))
    names = ("pipeline", "scheduler", "settings", "shape", "dtype")
    ours, theirs = live.describe(), loaded.describe()
    assert {n: ours[n] for n in names} == {n: theirs[n] for n in names}
    assert theirs["model"] == str(tmp_path)


@pytest.mark.parametrize(
    ("inputs", "name"),
    [
        ({}, "StableDiffusionPipeline"),
        ({"guidance_rescale": 0.5}, "StableDiffusionPipeline"),
        ({"image": 0}, "StableDiffusionImg2ImgPipeline"),
        ({"image": 0, "mask_image": 0}, "StableDiffusionInpaintPipeline"),
    ],
)
def test_the_inputs_choose_the_class(folder: Path, inputs: dict, name: str) -> None:
    assert type(load_pipeline(str(folder), device="cpu", inputs=inputs)).__name__ == name


def test_a_class_that_takes_the_inputs_is_kept(tmp_path: Path) -> None:
    """Also one that diffusers has no list of relatives for."""
    pipe = tiny.stable_diffusion("StableDiffusionInstructPix2PixPipeline", channels=8)
    pipe.save_pretrained(tmp_path)
    made = DiffusersRollout.from_pretrained(
        tmp_path, "a cab", device="cpu", steps=2, pipe_kwargs={"image": tiny.picture()}
    )
    assert type(made.pipe) is type(pipe)
    noise = noise_for(made)
    moved = noise.clone()
    moved[:, 0] += 1
    assert (pictures(made, noise) != pictures(made, moved)).any()


def test_inpainting_weights_serve_without_a_mask(tmp_path: Path) -> None:
    tiny.stable_diffusion("StableDiffusionInpaintPipeline").save_pretrained(tmp_path)
    pipe = load_pipeline(str(tmp_path), device="cpu", inputs={"image": tiny.picture()})
    assert type(pipe).__name__ == "StableDiffusionImg2ImgPipeline"


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_precisions(folder: Path, dtype: torch.dtype) -> None:
    made = DiffusersRollout.from_pretrained(folder, "a", device="cpu", dtype=dtype, **OPTIONS)
    single = DiffusersRollout.from_pretrained(folder, "a", device="cpu", **OPTIONS)
    noise = noise_for(made)
    images = pictures(made, noise)
    np.testing.assert_array_equal(pictures(made, noise.double()), images)
    predicted = made(noise, predict=[0]).predictions[0]
    assert len(predicted) == len(noise)
    assert all(part.dtype == dtype for part in (made.pipe.unet, made.pipe.vae))
    levels = 1 if dtype == torch.float64 else 12  # of 255, in a few steps of half precision
    assert np.abs(images - pictures(single, noise)).mean() < levels
    assert made.describe()["dtype"] == str(dtype)


INDEX = {"_class_name": "StableDiffusionPipeline", "_diffusers_version": "0.42.1"}


@pytest.mark.parametrize(
    "index",
    [
        None,
        "{",
        "[]",
        json.dumps({**INDEX, "_class_name": "NoSuchPipeline"}),
        json.dumps(INDEX),
        json.dumps({**INDEX, "unet": ["diffusers", "UNet2DConditionModel"]}),
    ],
)
def test_folders_that_hold_no_pipeline(tmp_path: Path, index: str | None) -> None:
    if index is not None:
        (tmp_path / "model_index.json").write_text(index)
    with pytest.raises(ImageError, match="Expected a diffusers pipeline in") as error:
        load_pipeline(str(tmp_path), device="cpu")
    assert one_line(error)
    assert str(tmp_path) in str(error.value)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"a folder with model_index\.json") as error:
        load_pipeline(str(tmp_path / "none"), device="cpu")
    assert one_line(error)


def test_damaged_weights(folder: Path, tmp_path: Path) -> None:
    import shutil

    broken = shutil.copytree(folder, tmp_path / "broken")
    weights = next((broken / "unet").glob("*.safetensors"))
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(ImageError, match="Loading it failed") as error:
        load_pipeline(str(broken), device="cpu")
    assert one_line(error)


@pytest.mark.parametrize("offload", ["model", "sequential"])
def test_offload_needs_a_device(offload: Any) -> None:
    """Refused before anything is loaded."""
    with pytest.raises(ImageError, match="other than the CPU for offload") as error:
        load_pipeline("nowhere", device="cpu", offload=offload)
    assert one_line(error)


def test_unknown_places(folder: Path) -> None:
    with pytest.raises(ImageError, match=r"offload among.*'disk'"):
        load_pipeline(str(folder), offload="disk")  # type: ignore[arg-type]
    for device in ("abacus", "cuda:99"):
        with pytest.raises(ImageError, match=f"device of this machine, got '{device}'") as error:
            load_pipeline(str(folder), device=device)
        assert one_line(error)


# Inputs.


def test_further_inputs_reach_the_pipeline(pipe: Any) -> None:
    plain = DiffusersRollout(pipe, "a", **OPTIONS)
    rescaled = DiffusersRollout(pipe, "a", **OPTIONS, pipe_kwargs={"guidance_rescale": 0.7})
    noise = noise_for(plain)
    assert (pictures(plain, noise) != pictures(rescaled, noise)).any()


def test_adapters_take_part(pipe: Any) -> None:
    """Whatever hooks into the models is shared, and may be changed in between."""
    made = DiffusersRollout(pipe, "a", **OPTIONS)
    noise = noise_for(made)
    before = pictures(made, noise)
    hook = pipe.unet.register_forward_hook(lambda _, __, out: tuple(1.5 * part for part in out))
    assert (pictures(made, noise) != before).any()
    hook.remove()
    np.testing.assert_array_equal(pictures(made, noise), before)


@pytest.mark.parametrize("name", sorted(RESERVED))
def test_reserved_inputs_are_refused(pipe: Any, name: str) -> None:
    with pytest.raises(ImageError, match=rf"pipe_kwargs without {name}:.*own arguments") as error:
        DiffusersRollout(pipe, "a", pipe_kwargs={name: None})
    assert one_line(error)


def test_unknown_inputs_are_refused(pipe: Any) -> None:
    with pytest.raises(ImageError, match=r"StableDiffusionPipeline takes no depth: leave it out"):
        DiffusersRollout(pipe, "a", pipe_kwargs={"depth": 1})
    with pytest.raises(ImageError, match=r"takes no image.*AutoPipelineForImage2Image") as error:
        DiffusersRollout(pipe, "a", pipe_kwargs={"image": tiny.picture()})
    assert one_line(error)


def test_a_negative_prompt_needs_a_pipeline_that_takes_one() -> None:
    pipe = tiny.stable_diffusion("LatentConsistencyModelPipeline")
    with pytest.raises(ImageError, match="takes no negative_prompt"):
        DiffusersRollout(pipe, "a", negative_prompt="b")


def test_what_the_pipeline_itself_refuses(pipe: Any) -> None:
    with pytest.raises(ImageError, match=r"inputs that StableDiffusionPipeline accepts.*height"):
        DiffusersRollout(pipe, "a", height=13, width=16)
    masked = tiny.stable_diffusion("StableDiffusionInpaintPipeline")
    with pytest.raises(ImageError, match="StableDiffusionInpaintPipeline accepts"):
        DiffusersRollout(masked, "a", pipe_kwargs={"image": tiny.picture(), "strength": 3.0})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "steps >= 1"),
        ({"microbatch": 0}, "microbatch >= 1"),
        ({"frozen_seed": -1}, "frozen_seed >= 0"),
        ({"prompt": ["a", "b"]}, "one prompt"),
        ({"scheduler": "pndm"}, "scheduler among.*ddim.*got 'pndm'"),
        ({"scheduler": "flow_cps"}, "choose.*ddim"),
        ({"scheduler": "ddim", "scheduler_options": {"eta": 0.0}}, "eta in .*nothing to steer"),
        ({"scheduler_options": {"zeta": 1.0}}, "zeta"),
    ],
)
def test_options_that_cannot_be_used(pipe: Any, options: dict, message: str) -> None:
    with pytest.raises(ImageError, match=message) as error:
        DiffusersRollout(pipe, **{"prompt": "a", **options})
    assert one_line(error)


class Speech:
    """A pipeline that makes no pictures."""

    def __call__(self, prompt: str, audio_length: float = 1.0) -> None: ...


class Endless:
    """A pipeline without a place for start noise, in pixels."""

    unet = SimpleNamespace(dtype=torch.float32)

    def __init__(self) -> None:
        self.scheduler = DDIMScheduler()

    def set_progress_bar_config(self, **_: Any) -> None: ...

    def __call__(
        self,
        prompt: str,
        num_inference_steps: int,
        generator: Any,
        num_images_per_prompt: int,
        output_type: str,
        latents: Tensor | None = None,
    ) -> Any:
        start = torch.zeros(num_images_per_prompt, 3, 4, 4) if latents is None else latents
        self.scheduler.set_timesteps(num_inference_steps)
        for time in self.scheduler.timesteps:
            start = self.scheduler.step(0.1 * start, time, start).prev_sample
        return SimpleNamespace(images=[tiny.picture(seed, 4) for seed, _ in enumerate(start)])


class Startless(Endless):
    def __call__(
        self,
        prompt: str,
        num_inference_steps: int,
        generator: Any,
        num_images_per_prompt: int,
        output_type: str,
    ) -> Any:
        return super().__call__(
            prompt, num_inference_steps, generator, num_images_per_prompt, output_type
        )


def test_pipelines_that_cannot_be_steered() -> None:
    with pytest.raises(ImageError, match=r"Speech takes no generator, num_images_per_prompt"):
        DiffusersRollout(Speech(), "a")  # type: ignore[arg-type]
    with pytest.raises(ImageError, match=r"takes its start noise.*Startless does neither"):
        DiffusersRollout(Startless(), "a", steps=2)  # type: ignore[arg-type]
    pipe = Endless()
    pipe.scheduler = None  # type: ignore[assignment]
    with pytest.raises(ImageError, match=r"^[Ee]xpected a diffusers scheduler, got NoneType"):
        DiffusersRollout(pipe, "a", steps=2)  # type: ignore[arg-type]


def test_without_an_autoencoder_there_are_no_predictions() -> None:
    made = DiffusersRollout(Endless(), "a", steps=2)  # type: ignore[arg-type]
    assert made.latent_shape == (3, 4, 4)
    assert len(made(noise_for(made)).samples) == 2
    with pytest.raises(RolloutError, match="no autoencoder"):
        made(noise_for(made), predict=[0])


# The parts.


def test_the_copy_shares_all_but_the_scheduler() -> None:
    pipe = tiny.stable_diffusion()
    other = with_scheduler(pipe, DDIMScheduler())
    assert type(other) is type(pipe)
    assert isinstance(other.scheduler, DDIMScheduler)
    assert not isinstance(pipe.scheduler, DDIMScheduler)
    assert dict(pipe.config)["scheduler"] == ("diffusers", "PNDMScheduler")
    for name, part in pipe.components.items():
        assert name == "scheduler" or other.components[name] is part


@pytest.mark.parametrize(
    ("kind", "inputs", "expected"),
    [
        ("StableDiffusionPipeline", {}, True),
        ("StableDiffusionImg2ImgPipeline", {"image": 0, "strength": 1.0}, False),
        ("StableDiffusionInpaintPipeline", {"image": 0, "mask_image": 0}, True),
        ("StableDiffusionInpaintPipeline", {"image": 0, "mask_image": 0, "strength": 0.9}, False),
        ("StableDiffusionXLImg2ImgPipeline", {"image": 0, "strength": 1.0}, False),
        ("FluxImg2ImgPipeline", {"image": 0}, False),
        ("FluxKontextPipeline", {"image": 0}, True),
        ("StableDiffusionControlNetPipeline", {"image": 0}, True),
        ("StableDiffusionControlNetImg2ImgPipeline", {"image": 0, "control_image": 0}, False),
    ],
)
def test_where_start_noise_goes(kind: str, inputs: dict, expected: bool) -> None:
    import diffusers

    pipe = object.__new__(getattr(diffusers, kind))
    assert takes_start_noise(pipe, inputs) is expected
    assert PICTURES & set(inputs) <= set(call_parameters(pipe))


def test_pictures_are_repeated_where_the_pipeline_does_not() -> None:
    pipe = tiny.stable_diffusion_3("StableDiffusion3Img2ImgPipeline")
    image = tiny.picture()
    assert inputs_for(pipe, {"image": image, "strength": 1}, 2)["image"] == [image, image]
    assert inputs_for(pipe, {"image": [image]}, 3)["image"] == 3 * [image]
    assert inputs_for(tiny.stable_diffusion(), {"image": image}, 2)["image"] is image


def test_unscaling_inverts_what_autoencoders_state() -> None:
    latents = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    mean, std = [0.5, -1.0, 2.0], [2.0, 0.5, 1.0]
    m, s = (torch.tensor(values).view(1, 3, 1, 1) for values in (mean, std))
    cases = [
        ({"scaling_factor": 0.18}, latents * 0.18),
        ({"scaling_factor": 0.36, "shift_factor": 0.1}, (latents - 0.1) * 0.36),
        ({"scaling_factor": 0.13, "latents_mean": mean, "latents_std": std}, None),
        ({"latents_mean": mean, "latents_std": std}, (latents - m) / s),
        ({}, latents),
    ]
    for config, scaled in cases:
        given = (latents - m) * 0.13 / s if scaled is None else scaled
        got = _unscaled(SimpleNamespace(**config), given)
        torch.testing.assert_close(got, latents)
    video = (latents - m)[:, :, None] / s[:, :, None]
    config = SimpleNamespace(latents_mean=mean, latents_std=std)
    torch.testing.assert_close(_unscaled(config, video), latents[:, :, None])
