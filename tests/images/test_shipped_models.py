"""The shipped text-to-image model draws what it is asked, and steering moves what it draws."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import casbo
from casbo.evaluation import plain_noise
from casbo.testing import check_rollout, check_scorer
from casbo_images import SHIPPED_CLIP, SHIPPED_PIPELINE, ClipScore, DiffusersRollout
from casbo_images.demonstration import TARGETS, VAGUE_PROMPT
from casbo_images.scenes.caption import Description
from casbo_images.scenes.detector import detect
from casbo_images.scenes.score import SceneScore
from casbo_images.shipped import GUIDANCE
from casbo_images.training.dataset import Pictures
from casbo_images.training.evaluate import described, retrieval

MEBIBYTE = 2**20
OPTIONS = {"steps": 10, "guidance_scale": GUIDANCE}


@pytest.fixture(scope="module")
def vague() -> DiffusersRollout:
    return DiffusersRollout.from_pretrained(SHIPPED_PIPELINE, VAGUE_PROMPT, **OPTIONS)


def test_files_are_small_and_safe() -> None:
    files = [p for folder in (SHIPPED_PIPELINE, SHIPPED_CLIP) for p in folder.rglob("*")]
    sizes = {p: p.stat().st_size for p in files if p.is_file()}
    assert max(sizes.values()) < 10 * MEBIBYTE
    assert {p.suffix for p in sizes} <= {".json", ".safetensors", ".txt"}


def test_the_models_load_like_any_other() -> None:
    from diffusers import StableDiffusionPipeline
    from transformers import AutoModel, CLIPModel

    pipe = StableDiffusionPipeline.from_pretrained(SHIPPED_PIPELINE)
    pipe.set_progress_bar_config(disable=True)
    generator = torch.Generator().manual_seed(0)
    (image,) = pipe("a red circle", num_inference_steps=2, generator=generator).images
    assert image.size == (64, 64)
    assert isinstance(AutoModel.from_pretrained(SHIPPED_CLIP), CLIPModel)


def test_it_is_a_rollout(vague: DiffusersRollout) -> None:
    # a grey level may round the other way in another batch
    report = check_rollout(vague, count=2, tolerance=1.5 / 255)
    assert report.predicts


def test_prompts_are_drawn(vague: DiffusersRollout) -> None:
    """Most attributes are there; of pictures of no prompt in particular a fifth are."""
    agreements = []
    for number, target in enumerate(TARGETS):
        rollout = DiffusersRollout(vague.pipe, target, **OPTIONS)
        images = rollout(plain_noise(6, rollout.shape, number)).samples
        agreements.append(SceneScore(target)(images)["agreement"].mean())
    assert np.mean(agreements) > 0.45


def test_clip_finds_captions_it_was_not_trained_on() -> None:
    scenes, images = described(Pictures.drawn(120, held_out=True))
    found = retrieval(Path(SHIPPED_CLIP), scenes, images)
    assert found["captions"] > 50
    assert found["caption_of_picture"] > 0.55  # by chance 0.02
    assert found["picture_of_caption"] > 0.55


def test_clip_scores_are_repeatable_and_prefer_the_target() -> None:
    scenes, images = described(Pictures.drawn(60, held_out=True))
    score = ClipScore(Description.of(scenes[0]).text(), model=SHIPPED_CLIP)
    check_scorer(score, images[:6])
    cosines = np.asarray(score(images))
    assert cosines[0] > np.quantile(cosines, 0.9)


def test_the_detector_knows_the_pictures_of_the_model(vague: DiffusersRollout) -> None:
    images = vague(plain_noise(16, vague.shape, 5)).samples
    assert np.mean([detect(image).valid for image in images]) > 0.25


@pytest.mark.slow
def test_steering_reaches_what_plain_sampling_does_not(vague: DiffusersRollout) -> None:
    score = ClipScore(TARGETS[1], model=SHIPPED_CLIP)
    result = casbo.steer(vague, score, queries=320, population=32, seed=2, progress=False)
    plain = np.asarray(score(vague(plain_noise(160, vague.shape, 1)).samples))
    fresh = np.asarray(score(result.sample(32, seed=3)))
    assert fresh.mean() > np.quantile(plain, 0.95)
