"""The pictures that models learn from, drawn once and kept in memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor

from ..scenes.caption import Description, random_description
from ..scenes.drawing import draw_scene
from ..scenes.scene import Scene, random_scenes

TRAINING_SEED, TEST_SEED = 1, 2


@dataclass(frozen=True)
class Pictures:
    """Scenes and their pictures.

    Arguments:
        scenes: N scenes.
        pixels: Their pictures as bytes, with shape (N, 3, H, W).
    """

    scenes: list[Scene]
    pixels: Tensor

    @classmethod
    def drawn(cls, count: int, *, held_out: bool = False) -> Self:
        """Training pictures, or pictures of attribute combinations held out from training."""
        seed = TEST_SEED if held_out else TRAINING_SEED
        generator = np.random.default_rng((seed, 1))
        scenes, pixels = [], []
        for scene, places in random_scenes(seed, count, held_out=held_out):
            scenes.append(scene)
            pixels.append(draw_scene(scene, places, generator))
        return cls(scenes, torch.from_numpy(np.stack(pixels)).movedim(-1, 1).contiguous())

    def images(self, rows: Tensor) -> Tensor:
        """Pictures with values in [-1, 1], with shape (len(rows), 3, H, W)."""
        return self.pixels[rows].float() / 127.5 - 1

    def descriptions(self, rows: Tensor, generator: np.random.Generator) -> list[Description]:
        """A random caption's content for each of the rows."""
        return [random_description(self.scenes[row], generator) for row in rows.tolist()]


def batch_rows(count: int, size: int, seed: int, step: int) -> tuple[Tensor, np.random.Generator]:
    """The rows of a step's batch, without repetition inside an epoch, and the step's generator."""
    per_epoch = count // size
    epoch, place = divmod(step, per_epoch)
    order = np.random.default_rng((seed, 2, epoch)).permutation(count)
    rows = order[place * size : (place + 1) * size]
    return torch.from_numpy(rows), np.random.default_rng((seed, 3, step))
