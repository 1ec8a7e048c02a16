"""Models with random weights, in memory and in folders as users have them, and pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from . import tiny


@pytest.fixture(scope="session")
def pipe() -> Any:
    """A Stable Diffusion pipeline for pictures of 16 x 16 pixels; tests leave it as it is."""
    return tiny.stable_diffusion()


@pytest.fixture(scope="session")
def pipe_xl() -> Any:
    """A Stable Diffusion XL pipeline, likewise."""
    return tiny.stable_diffusion_xl()


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first of them in a folder."""
    folder = tmp_path_factory.mktemp("models") / "pipeline"
    tiny.stable_diffusion().save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CLIP in a folder."""
    return tiny.save_clip(tmp_path_factory.mktemp("models") / "clip")


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of three pictures."""
    folder = tmp_path_factory.mktemp("pictures")
    for seed in range(3):
        tiny.picture(seed, size=20).save(folder / f"{seed}.png")
    (folder / "notes.txt").write_text("no picture")
    return folder
