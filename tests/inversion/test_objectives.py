"""Objectives: common random numbers are common, batches do not matter, losses are the scheduler's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from casbo.errors import CandidateFailed
from casbo.testing import check_rollout
from casbo_inversion import (
    ClipImageSimilarity,
    DenoisingLoss,
    GeneratedPictures,
    ImageSimilarity,
    InversionError,
    LearnedToken,
    MeanToken,
    TokenInversion,
)
from casbo_inversion.denoising import DenoisingScorer

from . import tiny
from .test_token import random_tokens

IMAGES = [tiny.picture(seed) for seed in range(3)]
FEW = {"templates": ("a {}", "the {} cab"), "validation": 6}


def inversion_with(pipe: Any, objective: Any = None, **options: Any) -> TokenInversion:
    objective = DenoisingLoss(**FEW) if objective is None else objective
    settings = {"init": MeanToken(), "steps": 2, "prompt": "a {}"}
    return TokenInversion(pipe, IMAGES, objective=objective, **settings | options)


def losses_of(inversion: TokenInversion, **options: Any) -> DenoisingScorer:
    return DenoisingLoss(**FEW | options).bind(inversion)


def test_the_rollout_keeps_its_contract(pipe: Any) -> None:
    for vectors in (1, 2):
        inversion = inversion_with(pipe, vectors=vectors)
        report = check_rollout(inversion)
        assert report.shape == (1, vectors * tiny.WIDTH)
        assert report.largest_row_difference == 0


def test_noise_zero_is_the_start_and_coordinates_come_back(pipe: Any) -> None:
    inversion = inversion_with(pipe, vectors=2)
    start = torch.cat(inversion.start.vectors)
    assert torch.allclose(inversion.start_token.joined, start.float().expand(2, -1))
    noise = torch.randn(1, 2 * tiny.WIDTH, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(
        inversion.coordinates(inversion.tokens(noise)[0]), noise.double(), atol=1e-4
    )


# Common random numbers.


def test_all_candidates_of_an_iteration_have_the_same_tasks(pipe: Any) -> None:
    inversion = inversion_with(pipe)
    scorer = losses_of(inversion)
    one, two = (scorer.tasks([token]) for token in random_tokens(inversion.at(4), 2))
    other = scorer.tasks(random_tokens(inversion.at(5), 1))
    for name in ("pictures", "timesteps", "templates", "noise", "posterior"):
        assert torch.equal(getattr(one, name), getattr(two, name))
    assert not torch.equal(one.noise, other.noise)
    assert not torch.equal(one.posterior, other.posterior)
    assert not torch.equal(one.noise, one.posterior)


def test_a_run_can_keep_its_numbers_and_candidates_can_have_their_own(pipe: Any) -> None:
    inversion = inversion_with(pipe)
    run = losses_of(inversion, common="run")
    first, second = (random_tokens(inversion.at(n), 2) for n in (0, 1))
    assert torch.equal(run.tasks(first).noise, run.tasks(second).noise)
    none = losses_of(inversion, common="none")
    tasks = none.tasks(first)
    assert tasks.noise.shape == (2, 4, 4, tiny.LATENT, tiny.LATENT)
    assert not torch.equal(tasks.noise[0], tasks.noise[1])
    assert torch.equal(tasks.noise[1:], none.tasks(first[1:]).noise)  # the token's own
    assert len(tasks.timesteps) == 4  # shared


def test_validation_has_numbers_of_its_own(pipe: Any) -> None:
    inversion = inversion_with(pipe)
    for common in ("iteration", "run", "none"):
        scorer = losses_of(inversion, common=common)
        held = scorer.tasks(random_tokens(inversion, 1))
        trained = scorer.tasks(random_tokens(inversion.at(0), 1))
        assert held.noise.shape[0] == 6
        assert not torch.equal(held.noise.flatten()[:64], trained.noise.flatten()[:64])
        assert held.templates.tolist() == [0, 1] * 3


def test_a_task_of_two_equal_tokens_is_one_error_and_differences_are_the_tokens(pipe: Any) -> None:
    """With common numbers equal tokens score the same; with fresh noise only by being the same."""
    inversion = inversion_with(pipe)
    (token,) = random_tokens(inversion.at(3), 1)
    near = LearnedToken(token.placeholder, tuple(v + 1e-7 for v in token.vectors), 3)
    common, fresh = losses_of(inversion), losses_of(inversion, common="none")
    one, two = common([token, near])
    assert abs(one - two) < 1e-5
    one, two = fresh([token, near])
    assert abs(one - two) > 1e-4


def test_timesteps_are_one_of_each_part_and_pictures_take_turns(pipe: Any) -> None:
    inversion = inversion_with(pipe)
    scorer = losses_of(inversion, timesteps=5, pictures=3, levels=(0.2, 0.7))
    tasks = scorer.tasks(random_tokens(inversion.at(1), 1))
    assert scorer.forward_passes_per_query == len(tasks.timesteps) == 15
    share = tasks.timesteps.double() / 1000
    part = ((share - 0.2) / 0.5 * 5).floor().long()
    assert part.tolist() == [n for n in range(5) for _ in range(3)]
    assert tasks.pictures.bincount(minlength=3).tolist() == [5, 5, 5]


# The loss itself.


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
def test_the_loss_is_that_of_the_pipelines_parts(prediction: str) -> None:
    pipe = tiny.stable_diffusion(prediction)
    inversion = inversion_with(pipe)
    scorer = losses_of(inversion)
    (token,) = random_tokens(inversion.at(2), 1)
    tasks = scorer.tasks([token])
    wanted = []
    alphas = pipe.scheduler.alphas_cumprod
    for j, t in enumerate(tasks.timesteps.tolist()):
        image = IMAGES[int(tasks.pictures[j])]
        pixels = torch.from_numpy(np.asarray(image)).permute(2, 0, 1)[None] / 127.5 - 1
        with torch.no_grad():
            posterior = pipe.vae.encode(pixels.float()).latent_dist
            clean = (posterior.mean + posterior.std * tasks.posterior[j]) * 0.18215
            a, s = alphas[t].sqrt(), (1 - alphas[t]).sqrt()
            noise = tasks.noise[j]
            target = {
                "epsilon": noise,
                "v_prediction": a * noise - s * clean[0],
                "sample": clean[0],
            }
            prompt = ("a <thing>", "the <thing> cab")[int(tasks.templates[j])]
            (context,) = inversion.encoder.encode([prompt], [token])
            made = pipe.unet(a * clean + s * noise, t, encoder_hidden_states=context).sample
        wanted.append(float((made[0] - target[prediction]).square().mean()))
    assert scorer.losses([token])[0].tolist() == pytest.approx(wanted, rel=1e-4)
    start = scorer.losses([inversion.start_token.at(2)]).mean()
    assert scorer([token])[0] == pytest.approx(np.mean(wanted) - float(start), abs=1e-5)
    assert losses_of(inversion, common="none")([token])[0] > 0
    assert scorer([token.at(None)])[0] == pytest.approx(
        float(scorer.losses([token.at(None)]).mean())
    )


@pytest.mark.parametrize("name", ["pipe", "pipe_xl"])
def test_scores_do_not_depend_on_batches_or_order(
    name: str, request: pytest.FixtureRequest
) -> None:
    inversion = inversion_with(request.getfixturevalue(name))
    tokens = random_tokens(inversion.at(0), 3) + random_tokens(inversion.at(1), 2, seed=1)
    for common in ("iteration", "none"):
        whole = losses_of(inversion, common=common, microbatch=32)(tokens)
        small = losses_of(inversion, common=common, microbatch=3)(tokens)
        alone = [losses_of(inversion, common=common)([token])[0] for token in tokens]
        turned = losses_of(inversion, common=common)(tokens[::-1])[::-1]
        assert len(set(whole)) == len(whole)
        for scores in (small, alone, turned):
            assert scores == pytest.approx(whole, abs=2e-6)


def test_no_global_generator_is_touched(pipe: Any) -> None:
    inversion = inversion_with(pipe)
    tokens = random_tokens(inversion.at(0), 2)
    torch.manual_seed(1)
    before = inversion.objective(tokens)
    state = torch.get_rng_state()
    torch.manual_seed(2)
    assert inversion.objective(tokens) == before
    inversion.preview(tokens[0])
    torch.manual_seed(1)
    assert torch.equal(torch.get_rng_state(), state)


# Generated pictures.


class Redness:
    """The mean of the red channel and of the green one."""

    direction = "maximize"

    def __call__(self, pictures: list[Image.Image]) -> dict[str, list[float]]:
        means = [np.asarray(picture, dtype=float).mean((0, 1)) for picture in pictures]
        return {"red": [m[0] for m in means], "green": [m[1] for m in means]}


def test_any_score_of_pictures_is_averaged_over_common_start_noise(pipe: Any) -> None:
    objective = GeneratedPictures(Redness(), prompt="a {}", pictures=2, validation=3)
    inversion = inversion_with(pipe, objective)
    scorer: Any = inversion.objective
    one, two = tokens = random_tokens(inversion.at(1), 2)
    assert torch.equal(scorer.start_noise(one), scorer.start_noise(two))
    assert not torch.equal(scorer.start_noise(one), scorer.start_noise(one.at(2)))
    assert scorer.start_noise(one.at(None)).shape[0] == 3
    assert scorer.forward_passes_per_query == 2 * 2 * 2  # pictures, steps, guidance
    assert scorer.direction == "maximize"
    scores = scorer(tokens)
    for row, token in enumerate(tokens):
        made = inversion.maker.pictures([token] * 2, ["a <thing>"] * 2, scorer.start_noise(token))
        own = Redness()(made)
        for name in ("red", "green"):
            assert scores[name][row] == pytest.approx(np.mean(own[name]), abs=0.5)


def test_a_failed_picture_fails_its_token(pipe: Any) -> None:
    class Failing:
        direction = "maximize"

        def __call__(self, pictures: list[Image.Image]) -> list[Any]:
            return [CandidateFailed("no"), *[1.0] * (len(pictures) - 1)]

    inversion = inversion_with(pipe, GeneratedPictures(Failing(), prompt="a {}"))
    scores: Any = inversion.objective(random_tokens(inversion.at(0), 2))
    assert np.isnan(scores["score"][0])
    assert scores["score"][1] == 1


def test_clip_similarity_is_the_mean_cosine(pipe: Any, clip: Path) -> None:
    inversion = inversion_with(pipe, ClipImageSimilarity(str(clip), prompt="a {}", pictures=1))
    similarity = ImageSimilarity(clip, IMAGES)
    (token,) = random_tokens(inversion.at(0), 1)
    scorer: Any = inversion.objective
    (made,) = inversion.maker.pictures([token], ["a <thing>"], scorer.start_noise(token))
    rows = similarity.clip.images([made, *IMAGES])
    wanted = float((rows[1:] @ rows[0]).mean())
    assert scorer([token])["score"][0] == pytest.approx(wanted, abs=1e-5)


# What cannot be used.


def of(**parts: Any) -> Callable[[], Any]:
    def build() -> Any:
        pipe = tiny.stable_diffusion()
        for name, part in parts.items():
            setattr(pipe, name, part)
        return pipe

    return build


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (of(text_encoder=None), "text encoder"),
        (of(unet=tiny.unet(cross_attention_dim=8, in_channels=9)), "UNet"),
        (of(vae=None), "UNet|pictures"),
    ],
)
def test_pipelines_that_cannot_be_used(build: Callable[[], Any], said: str) -> None:
    with pytest.raises(InversionError, match=said):
        inversion_with(build())


def test_a_flow_matching_scheduler_has_no_denoising_loss() -> None:
    from diffusers import FlowMatchEulerDiscreteScheduler

    with pytest.raises(InversionError, match="scheduler"):
        inversion_with(of(scheduler=FlowMatchEulerDiscreteScheduler())())


@pytest.mark.parametrize(
    "options",
    [
        {"timesteps": 0},
        {"pictures": 0},
        {"validation": 0},
        {"microbatch": 0},
        {"common": "all"},
        {"seed": -1},
        {"templates": ()},
        {"templates": ("a thing",)},
        {"levels": (0.5, 0.5)},
        {"levels": (0.0, 1.1)},
    ],
)
def test_settings_that_cannot_be_used(options: dict[str, Any]) -> None:
    with pytest.raises(InversionError):
        DenoisingLoss(**options)


def test_a_prompt_that_cuts_the_placeholder_off(pipe: Any) -> None:
    long = DenoisingLoss(templates=("very " * 15 + "{}",))
    with pytest.raises(InversionError, match="cut off"):
        inversion_with(pipe, long)


@pytest.mark.parametrize("images", [[], "nowhere", ["nothing.png"], [3]])
def test_pictures_that_cannot_be_read(pipe: Any, images: Any) -> None:
    with pytest.raises(InversionError, match="picture"):
        TokenInversion(pipe, images, init="mean")
