"""Probing with one network evaluation: what it finds is what a whole run of the pipeline shows."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers import FluxTransformer2DModel, UNet2DConditionModel

from casbo_images.probing import first_answers

from . import tiny_pipelines as tiny
from .test_rollout import PIPELINES, noise_for, rollout, rollout_of

SCHEDULERS = ("ddim", "ddpm", "euler_ancestral", "dpm_sde", "lcm", "tcd")


def whole_run(pipe: Any) -> Any:
    """In place of `asked_once`: the pipeline as it is."""
    return pipe


@pytest.mark.parametrize("name", PIPELINES)
def test_it_finds_what_a_whole_run_finds(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = rollout_of(name)._found
    monkeypatch.setattr("casbo_images.rollout.asked_once", whole_run)
    assert rollout_of(name)._found == found


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_with_every_scheduler(scheduler: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = rollout(tiny.stable_diffusion(), scheduler=scheduler, steps=8)._found
    monkeypatch.setattr("casbo_images.rollout.asked_once", whole_run)
    again = rollout(tiny.stable_diffusion(), scheduler=scheduler, steps=8)._found
    assert again == found


@pytest.mark.parametrize(
    ("name", "network"), [("sd", UNet2DConditionModel), ("flux-inpaint", FluxTransformer2DModel)]
)
def test_the_network_is_asked_once(
    name: str, network: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = 0
    forward = network.forward  # type: ignore[attr-defined]

    def counting(*arguments: Any, **options: Any) -> Any:
        nonlocal asked
        asked += 1
        return forward(*arguments, **options)

    monkeypatch.setattr(network, "forward", counting)
    made = rollout_of(name, steps=5)
    assert asked == 1
    made(noise_for(made, 1))
    assert asked > 4


def test_inputs_of_other_shapes_are_asked_again() -> None:
    asked = []

    def forward(sample: torch.Tensor, *, text: torch.Tensor | None = None) -> torch.Tensor:
        asked.append(sample)
        return sample.clone()

    repeating = first_answers(forward)
    first = repeating(torch.zeros(2, 3), text=torch.zeros(1))
    assert repeating(torch.ones(2, 3), text=torch.zeros(1)) is first
    assert repeating(torch.ones(1, 3), text=torch.zeros(1)).shape == (1, 3)
    repeating(torch.ones(1, 3), text=torch.zeros(2))
    repeating(torch.ones(1, 3))
    assert len(asked) == 4
