"""Trainings resume exactly, and what they learn from is what they say."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

pytest.importorskip("diffusers")

from casbo_images.scenes.caption import Description, vocabulary
from casbo_images.training.autoencoder import (
    ReconstructionLoss,
    new_autoencoder,
    scaled,
)
from casbo_images.training.broken import broken, reconstructed
from casbo_images.training.clip import ContrastiveLoss, fits, new_clip
from casbo_images.training.dataset import Pictures, batch_rows
from casbo_images.training.diffusion import (
    Latents,
    TextToImage,
    VelocityLoss,
    new_scheduler,
)
from casbo_images.training.tokenizer import LENGTH, new_tokenizer


@pytest.fixture(scope="module")
def pictures():
    return Pictures.drawn(40)


def seeded(make, *arguments):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return make(*arguments)


def test_an_epoch_sees_every_row_once():
    rows = torch.cat([batch_rows(20, 5, seed=0, step=step)[0] for step in range(4)])
    assert sorted(rows.tolist()) == list(range(20))
    again = torch.cat([batch_rows(20, 5, seed=0, step=step)[0] for step in range(4, 8)])
    assert sorted(again.tolist()) == list(range(20))
    assert rows.tolist() != again.tolist()
    assert batch_rows(20, 5, seed=0, step=3)[0].tolist() == rows[15:].tolist()


def test_pictures_are_drawn_from_their_scenes(pictures):
    images = pictures.images(torch.arange(40))
    assert images.shape == (40, 3, 64, 64)
    assert images.min() >= -1
    assert images.max() <= 1
    assert not any(scene.held_out for scene in pictures.scenes)
    assert all(scene.held_out for scene in Pictures.drawn(10, held_out=True).scenes)


def test_every_word_of_the_captions_is_one_token(tmp_path):
    tokenizer = new_tokenizer()
    for word in ["a", *vocabulary()]:
        assert len(tokenizer(word).input_ids) == 3, word
    text = "a small yellow star at the top left on a dark background"
    tokens = tokenizer(text).input_ids
    assert len(tokens) == 2 + len(text.split())
    spelled = tokenizer("zebra").input_ids
    assert len(spelled) == 2 + len("zebra")
    tokenizer.save_pretrained(tmp_path)
    loaded = type(tokenizer).from_pretrained(tmp_path)
    assert loaded(text).input_ids == tokens
    assert loaded.model_max_length == LENGTH


def test_fitting_pairs_are_those_a_caption_allows(pictures):
    descriptions = pictures.descriptions(torch.arange(40), np.random.default_rng(0))
    found = fits(descriptions, pictures.scenes)
    expected = [[d.allows(scene) for scene in pictures.scenes] for d in descriptions]
    assert torch.equal(found, torch.tensor(expected).float())
    assert bool((found.diagonal() == 1).all())


def test_the_contrastive_loss_is_that_of_clip_where_every_caption_fits_one_picture(pictures):
    tokenizer = new_tokenizer()
    clip = seeded(new_clip, tokenizer)

    class Whole(Pictures):
        def descriptions(self, rows, generator):
            del generator
            return [Description.of(self.scenes[row]) for row in rows.tolist()]

    named = [
        row
        for row, scene in enumerate(pictures.scenes)
        if Description.of(scene).shape and Description.of(scene).colour
    ][:8]
    chosen = Whole([pictures.scenes[row] for row in named], pictures.pixels[named])
    assert len({Description.of(scene) for scene in chosen.scenes}) == 8
    none = chosen.pixels[:0]  # no broken pictures, and the autoencoder gives back what it gets
    loss = ContrastiveLoss(clip, tokenizer, chosen, chosen.pixels, none, 8, 0, "cpu")(0)
    rows, _ = batch_rows(8, 8, 0, 0)
    texts = [Description.of(chosen.scenes[row]).text() for row in rows.tolist()]
    tokens = tokenizer(texts, padding="max_length", return_tensors="pt")
    logits = clip(**tokens, pixel_values=chosen.images(rows)).logits_per_text
    right = torch.arange(8)
    cross = nn.functional.cross_entropy
    expected = (cross(logits, right) + cross(logits.T, right)) / 2
    torch.testing.assert_close(loss, expected)


def test_broken_pictures_have_no_caption_and_are_found_by_none(pictures):
    tokenizer = new_tokenizer()
    clip = seeded(new_clip, tokenizer)
    broken = torch.full((3, 3, 64, 64), 255, dtype=torch.uint8)
    loss = ContrastiveLoss(clip, tokenizer, pictures, pictures.pixels, broken, 8, 0, "cpu")
    rows, random = batch_rows(40, 8, 0, 0)
    descriptions = pictures.descriptions(rows, random)
    images = loss.images(rows, np.random.default_rng(0))
    assert torch.equal(images[:8], pictures.images(rows))
    assert torch.equal(images[8:], torch.ones(2, 3, 64, 64))  # a quarter more, all of them white
    texts = tokenizer([d.text() for d in descriptions], padding="max_length", return_tensors="pt")
    logits = clip(**texts, pixel_values=images).logits_per_text
    right = fits(descriptions, [pictures.scenes[row] for row in rows.tolist()])
    found = (right / right.sum(1, keepdim=True) * logits.log_softmax(1)[:, :8]).sum(1)
    named = (right / right.sum(0) * logits[:, :8].log_softmax(0)).sum(0)
    torch.testing.assert_close(loss(0), -(found.mean() + named.mean()) / 2)


def test_broken_pictures_are_broken(pictures):
    vae = seeded(new_autoencoder)
    made = broken(vae, pictures, 50, seed=0)
    assert made.shape == (50, 3, 64, 64)
    assert made.dtype == torch.uint8
    assert torch.equal(made, broken(vae, pictures, 50, seed=0))
    assert not torch.equal(made, broken(vae, pictures, 50, seed=1))
    empty, faded, erased, *decoded = made.float().split(10)
    assert float(empty.flatten(2).std(-1).max()) == 0
    contrast = (faded.amax((2, 3)) - faded.amin((2, 3))).amax(1)  # of colours that differ by 256
    assert float(contrast.min()) > 0
    assert float(contrast.max()) < 0.5 * 256
    bare = (erased == erased.flatten(2).median(-1).values[..., None, None]).all(1)
    assert bool((bare.all(1).float().mean(1) + bare.all(2).float().mean(1) > 0.3).all())
    assert all(bool(torch.isfinite(part).all()) for part in decoded)
    assert reconstructed(vae, pictures).shape == pictures.pixels.shape


def test_latents_have_unit_variance_after_scaling(pictures):
    vae = scaled(seeded(new_autoencoder), pictures)
    latents = Latents(vae, pictures, "cpu")
    assert float(latents.means.std()) == pytest.approx(1, abs=0.01)


def test_losses_are_functions_of_the_step(pictures):
    tokenizer, vae = new_tokenizer(), seeded(new_autoencoder)
    latents = Latents(vae, pictures, "cpu")
    model = seeded(TextToImage, tokenizer, vae.config.latent_channels, latents.means.shape[-1])
    velocity = VelocityLoss(model, tokenizer, pictures, latents, batch=4, seed=0, device="cpu")
    reconstruction = ReconstructionLoss(vae, pictures, batch=4, seed=0)
    for loss in (velocity, reconstruction):
        with torch.no_grad():
            values = [float(loss(step)) for step in (0, 1, 0)]
        assert values[0] == values[2] != values[1]


def test_nothing_is_left_of_a_picture_at_the_end_of_the_schedule():
    scheduler = new_scheduler()
    assert float(scheduler.alphas_cumprod[-1]) < 1e-4
