"""Models with random weights in folders, as users have them."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Stable Diffusion pipeline for pictures of 16 x 16 pixels."""
    from .tiny_pipelines import stable_diffusion

    folder = tmp_path_factory.mktemp("models") / "pipeline"
    stable_diffusion().save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CLIP that steers."""
    from .tiny_clip import save_clip

    return save_clip(tmp_path_factory.mktemp("models") / "clip", seed=1)


@pytest.fixture(scope="session")
def other_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another one, for what is reported only."""
    from .tiny_clip import save_clip

    return save_clip(tmp_path_factory.mktemp("models") / "other-clip", seed=2)
