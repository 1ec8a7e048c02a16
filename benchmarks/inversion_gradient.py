"""Textual inversion by gradients, the upper reference: AdamW on the placeholder's embedding alone.

The recipe of diffusers' training script (https://arxiv.org/abs/2208.01618): a random picture, timestep,
noise and template for every row of a batch, mean squared error, the models frozen. A step costs a
forward and a backward pass of every row: three forwards.
"""

from __future__ import annotations

import numpy as np
import torch

from casbo_inversion import DenoisingLoss, LearnedToken, TokenInversion
from casbo_inversion.denoising import DenoisingScorer

FORWARDS_PER_STEP = 3


def invert_by_gradients(
    inversion: TokenInversion, *, forwards: int, seed: int, rate: float, batch: int = 4
) -> LearnedToken:
    """The token after as many steps as cost so many forward passes.

    Arguments:
        inversion: Pipeline, pictures and start; its objective must be the denoising loss.
        forwards: The budget in forward passes.
        seed: Determines the batches.
        rate: AdamW's learning rate.
        batch: Rows of a step.
    """
    scorer = inversion.objective
    assert isinstance(scorer, DenoisingScorer)
    random = np.random.default_rng([seed, 77])
    rows = [part.clone().requires_grad_() for part in inversion.start_token.vectors]
    optimizer = torch.optim.AdamW(rows, lr=rate, weight_decay=1e-2)
    for module in (inversion.encoder.pipe.unet, *(p.encoder for p in inversion.encoder.parts)):
        module.requires_grad_(False)
    for _ in range(forwards // (FORWARDS_PER_STEP * batch)):
        token = LearnedToken(inversion.placeholder, tuple(rows))
        loss = _loss(scorer, token, scorer.settings, batch, random)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return LearnedToken(inversion.placeholder, tuple(row.detach().clone() for row in rows))


def _loss(
    scorer: DenoisingScorer,
    token: LearnedToken,
    settings: DenoisingLoss,
    batch: int,
    random: np.random.Generator,
) -> torch.Tensor:
    """The mean error of a random batch, differentiable in the token's vectors."""
    encoder, latents, schedule = scorer.encoder, scorer.latents, scorer.schedule
    pictures = torch.from_numpy(random.integers(len(latents.means), size=batch))
    timesteps = torch.from_numpy(random.integers(schedule.length, size=batch))
    chosen = random.integers(len(settings.templates), size=batch)
    prompts = [scorer.prompts[n] for n in chosen]
    shape = (2, batch, *latents.means.shape[1:])
    posterior, noise = torch.from_numpy(random.standard_normal(shape, dtype=np.float32))
    noisy, wanted = schedule.task(latents.sampled(pictures, posterior), noise, timesteps)
    with encoder.using([token] * batch) as pipe:
        context = pipe.encode_prompt(
            prompt=prompts,
            device=pipe._execution_device,
            num_images_per_prompt=1,
            do_classifier_free_guidance=False,
        )[0]
        predicted = pipe.unet(noisy, timesteps, encoder_hidden_states=context).sample
    return (predicted - wanted).square().mean()
