"""From a vague prompt to a target: plain sampling against steering on the shipped model.

Plain sampling and steering get the same number of scores. What counts is the mean of *fresh*
samples, drawn from what was learned and seen by no update, beside the best of plain sampling. A
detector that is never steered says what the pictures show.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .options import ImageOptions
from .pictures import grid, png_bytes

if TYPE_CHECKING:
    from PIL.Image import Image

    from casbo.result import Result

VAGUE_PROMPT = "a shape"
TARGETS = (
    "a small yellow star at the top left on a dark background",
    "a large red circle at the center on a light background",
    "a medium blue square at the bottom right on a grey background",
    "a small green triangle at the top right on a light background",
    "a large purple ring at the left on a dark background",
    "a medium pink cross at the bottom on a dark background",
)
PERCENTILE = 99.0  # of plain samples, which the mean of fresh ones is compared with
SHOWN = 16  # pictures of each kind
POPULATION = 32


@dataclass(frozen=True)
class Pictures:
    """Scores of a set of pictures.

    Arguments:
        clip: CLIP similarities to the target, with shape (n,).
        agreement: Shares of the target's attributes found by the detector, with shape (n,).
        valid: The share of pictures that are scenes at all.
        diversity: Mean pairwise CLIP distance.
    """

    clip: NDArray[np.float64]
    agreement: NDArray[np.float64]
    valid: float
    diversity: float


@dataclass(frozen=True)
class Demonstration:
    """A target, plain and fresh steered pictures, the run and a picture of both."""

    target: str
    plain: Pictures
    fresh: Pictures
    result: Result
    picture: Path

    @property
    def threshold(self) -> float:
        """The CLIP similarity that one in a hundred plain pictures reaches."""
        return float(np.percentile(self.plain.clip, PERCENTILE))

    @property
    def reached(self) -> bool:
        """Whether the mean of fresh pictures is above it."""
        return float(self.fresh.clip.mean()) > self.threshold

    @property
    def confirmed(self) -> bool:
        """Whether the detector finds more of the target in fresh pictures, and as many scenes."""
        better = self.fresh.agreement.mean() > self.plain.agreement.mean()
        return bool(better and self.fresh.valid >= self.plain.valid)


class Plain:
    """Plain pictures of the vague prompt, made once and compared with any target.

    Arguments:
        options: The pipeline and its prompt; the target is left open.
        count: How many.
        seed: Determines them.
    """

    def __init__(self, options: ImageOptions, count: int, seed: int) -> None:
        from casbo.evaluation import plain_noise

        from .image_run import image_rollout

        rollout = image_rollout(options)
        noise = plain_noise(count, rollout.shape, seed)
        self.images = list(rollout(noise).samples)


def demonstrate(
    target: str,
    out: Path,
    *,
    plain: Plain,
    queries: int,
    fresh: int,
    seed: int,
    options: ImageOptions,
) -> Demonstration:
    """Steer towards a target; a second call takes up where one stopped.

    Arguments:
        target: A caption of the small world.
        out: Holds the run folder and the picture of both.
        plain: What to compare with.
        queries: Scores to learn from.
        fresh: Samples drawn from what was learned.
        seed: Determines the run and the fresh samples.
        options: The pipeline and its prompt; the target is filled in.

    Raises:
        casbo.errors.CasboError: If something cannot be used, read or written.
    """
    from casbo.atomic import write_atomically

    from .image_run import steer_images

    options = replace(options, target=target)
    # words alone: a target with slashes or dots must not lead out of the folder
    folder = out / "-".join(re.findall(r"[a-z0-9]+", target.lower()))
    result = steer_images(
        options, run=str(folder), queries=queries, population=POPULATION, seed=seed
    )
    images = result.sample(fresh, seed=seed)
    before, after = scored(plain.images, options), scored(images, options)
    path = out / f"{folder.name}.png"
    shown = [*plain.images[:SHOWN], *images[:SHOWN]]
    write_atomically(path, png_bytes(grid(shown, columns=SHOWN)))
    return Demonstration(target, before, after, result, path)


def scored(images: Sequence[Image], options: ImageOptions) -> Pictures:
    """What the steered score, the detector and the diversity say of pictures."""
    from .diversity import Diversity
    from .scenes.score import SceneScore
    from .scoring import clip_model, scorer_and_objective

    assert options.target is not None
    scorer, _ = scorer_and_objective(options)
    found = SceneScore(options.target)(images)
    return Pictures(
        clip=np.asarray(scorer(images)),
        agreement=found["agreement"],
        valid=float(found["valid"].mean()),
        diversity=Diversity(clip_model(options))(images),
    )


def table(shown: Sequence[Demonstration]) -> str:
    """Demonstrations as aligned text, a line for each target."""
    head = (
        "target",
        "plain",
        "99th",
        "fresh",
        "reached",
        "confirmed",
        "agreement",
        "exact",
        "valid",
        "diversity",
    )
    rows = [
        (
            one.target,
            f"{one.plain.clip.mean():.3f}",
            f"{one.threshold:.3f}",
            f"{one.fresh.clip.mean():.3f}",
            "yes" if one.reached else "no",
            "yes" if one.confirmed else "no",
            f"{one.plain.agreement.mean():.2f} -> {one.fresh.agreement.mean():.2f}",
            f"{np.mean(one.plain.agreement == 1):.1%} -> {np.mean(one.fresh.agreement == 1):.1%}",
            f"{one.plain.valid:.1%} -> {one.fresh.valid:.1%}",
            f"{one.plain.diversity:.2f} -> {one.fresh.diversity:.2f}",
        )
        for one in shown
    ]
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in (head, *rows)
    ]
    return "\n".join(lines)
