"""Scenes: what can be in a picture of the small world, and drawing one at random.

A scene is one to three equal shapes on a plain background. Some shapes, colours and fills have no
word in any caption: they are in the pictures a model learns from, so that it can draw them, but
no prompt asks for them by name.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, fields

import numpy as np

#: Pixels along each side of a picture.
PIXELS = 64

SHAPES = ("circle", "square", "triangle", "star", "ring", "cross")
UNNAMED_SHAPES = ("heart", "crescent")
COLOURS = {
    "red": (214, 40, 40),
    "orange": (247, 127, 0),
    "yellow": (252, 211, 38),
    "green": (56, 161, 62),
    "blue": (38, 99, 214),
    "purple": (128, 60, 170),
    "pink": (244, 132, 190),
}
UNNAMED_COLOURS = {"teal": (20, 160, 160), "brown": (122, 78, 46)}
BACKGROUNDS = {"dark": (24, 26, 38), "grey": (128, 128, 132), "light": (240, 238, 230)}
FILLS = ("plain",)
UNNAMED_FILLS = ("striped",)

#: Half the larger side of a shape's bounding box, in pixels: the range of each size.
RADII = {"small": (6.0, 7.5), "medium": (9.5, 11.5), "large": (14.5, 16.5)}
COUNTS = (1, 2, 3)
ROWS, COLUMNS = ("top", "middle", "bottom"), ("left", "middle", "right")
#: Pixel coordinate of the centre of each row and column, and how far a shape may be off it.
CELLS, CELL_JITTER = (18.0, 32.0, 46.0), 1.5
POSITIONS = tuple((row, column) for row in ROWS for column in COLUMNS)
LARGEST_TURN = 8.0  # degrees
UNNAMED_SHARE = 0.12  # of scenes, for each of shape, colour and fill
HELD_OUT_SHARE = 0.1  # of attribute combinations that no model is trained on


@dataclass(frozen=True)
class Scene:
    """The attributes of a picture.

    Arguments:
        shape, colour, size, background, fill: Names from this module's tables.
        count: How many shapes.
        position: (row, column) of a single shape; None when there are several.
    """

    shape: str
    colour: str
    size: str
    background: str
    count: int = 1
    position: tuple[str, str] | None = None
    fill: str = "plain"

    @property
    def held_out(self) -> bool:
        """Whether this combination of attributes is kept for tests: a tenth of them all."""
        text = "/".join(str(getattr(self, field.name)) for field in fields(self))
        return hashlib.sha256(text.encode()).digest()[0] < 256 * HELD_OUT_SHARE


@dataclass(frozen=True)
class Place:
    """Where one shape of a scene stands: centre and radius in pixels, turn in degrees."""

    x: float
    y: float
    radius: float
    turn: float


def random_scene(generator: np.random.Generator) -> Scene:
    """A scene with independent attributes; several shapes are never large."""
    count = int(generator.choice(COUNTS, p=(0.7, 0.15, 0.15)))
    sizes = tuple(RADII) if count == 1 else ("small", "medium")
    position = POSITIONS[generator.integers(len(POSITIONS))] if count == 1 else None
    return Scene(
        shape=_named_or_not(SHAPES, UNNAMED_SHAPES, generator),
        colour=_named_or_not(tuple(COLOURS), tuple(UNNAMED_COLOURS), generator),
        size=str(generator.choice(sizes)),
        background=str(generator.choice(tuple(BACKGROUNDS))),
        count=count,
        position=position,
        fill=_named_or_not(FILLS, UNNAMED_FILLS, generator),
    )


def random_scenes(seed: int, count: int, *, held_out: bool) -> Iterator[tuple[Scene, list[Place]]]:
    """``count`` scenes with their places: held-out combinations only, or none of them."""
    generator = np.random.default_rng(seed)
    while count:
        scene = random_scene(generator)
        places = random_places(scene, generator)
        if scene.held_out == held_out:
            count -= 1
            yield scene, places


def random_places(scene: Scene, generator: np.random.Generator) -> list[Place]:
    """Places for the shapes of a scene: in its cell, or anywhere without touching one another."""
    radius = float(generator.uniform(*RADII[scene.size]))
    if scene.position is not None:
        row, column = scene.position
        y, x = CELLS[ROWS.index(row)], CELLS[COLUMNS.index(column)]
        x, y = (float(c + generator.uniform(-CELL_JITTER, CELL_JITTER)) for c in (x, y))
        return [Place(x, y, radius, _turn(generator))]
    places: list[Place] = []
    while len(places) < scene.count:  # rejection: three shapes of medium size cover a sixth
        x, y = generator.uniform(radius + 2, PIXELS - radius - 2, size=2)
        if all(max(abs(x - p.x), abs(y - p.y)) > 2 * radius + 3 for p in places):
            places.append(Place(float(x), float(y), radius, _turn(generator)))
        elif generator.random() < 0.02:  # the first ones left no room: begin anew
            places.clear()
    return places


def _turn(generator: np.random.Generator) -> float:
    return float(generator.uniform(-LARGEST_TURN, LARGEST_TURN))


def _named_or_not(
    named: tuple[str, ...], unnamed: tuple[str, ...], generator: np.random.Generator
) -> str:
    names = unnamed if generator.random() < UNNAMED_SHARE else named
    return names[generator.integers(len(names))]
