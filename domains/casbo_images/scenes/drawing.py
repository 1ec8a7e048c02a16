"""Drawing scenes: outlines of the shapes, and pictures with smooth edges."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .scene import BACKGROUNDS, COLOURS, PIXELS, UNNAMED_COLOURS, Place, Scene

if TYPE_CHECKING:
    from PIL.Image import Image

SUPERSAMPLING = 4
COLOUR_JITTER = 6  # grey levels
STRIPE = 2.0  # pixels
STRIPE_SHADE = 0.45  # of the fill's brightness

Points = NDArray[np.float64]
Corners = list[tuple[float, float]]


@cache
def outlines(shape: str) -> tuple[Points, ...]:
    """Polygons (n, 2) of a shape, the first filled and the others cut out.

    The larger side of the bounding box runs from -1 to 1, and the box is centred on 0; y points
    down.
    """
    outer, *holes = [np.array(points, dtype=np.float64) for points in _raw_outlines(shape)]
    low, high = outer.min(0), outer.max(0)
    scale = 2 / (high - low).max()
    return tuple((points - (low + high) / 2) * scale for points in (outer, *holes))


def _raw_outlines(shape: str) -> list[Corners]:
    """The polygons of a shape before they are brought to size."""
    if shape == "heart":
        return [_heart()]
    circle = _arc(0, 0, 1, 0, 360)
    polygons: dict[str, list[Corners]] = {
        "circle": [circle],
        "ring": [circle, _arc(0, 0, 0.52, 0, 360)],
        "square": [[(-1, -1), (1, -1), (1, 1), (-1, 1)]],
        "triangle": [_regular(3, 1.0)],
        "star": [_star(5, 1.0, 0.42)],
        "cross": [_cross(0.34)],
        "crescent": [_arc(0, 0, 1, 57, 303) + _arc(0.55, 0, 0.8, 245, 115)],
    }
    return polygons[shape]


def _heart() -> Corners:
    """The curve x = 16 sin^3 t, y = 13 cos t - 5 cos 2t - 2 cos 3t - cos 4t."""
    t = np.linspace(0, 2 * math.pi, 90, endpoint=False)
    y = 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
    return list(zip((16 * np.sin(t) ** 3).tolist(), (-y).tolist(), strict=True))


def _cross(arm: float) -> Corners:
    half = [(-arm, -1), (arm, -1), (arm, -arm), (1, -arm), (1, arm), (arm, arm)]
    return half + [(-x, -y) for x, y in half]


def _arc(x: float, y: float, radius: float, first: float, last: float) -> Corners:
    angles = np.radians(np.linspace(first, last, 72))
    return [(x + radius * math.cos(a), y + radius * math.sin(a)) for a in angles]


def _regular(corners: int, radius: float) -> Corners:
    angles = [2 * math.pi * i / corners - math.pi / 2 for i in range(corners)]
    return [(radius * math.cos(a), radius * math.sin(a)) for a in angles]


def _star(points: int, outer: float, inner: float) -> Corners:
    long, short = _regular(points, outer), _regular(points, inner)
    turned = [(-x, -y) for x, y in short]  # an odd star's inner corners face its outer ones
    half = points // 2 + 1
    return [p for i in range(points) for p in (long[i], turned[(i + half) % points])]


def shape_mask(shape: str, place: Place, pixels: int = PIXELS) -> NDArray[np.float64]:
    """How much of each pixel a shape covers, in [0, 1], with shape (pixels, pixels)."""
    from PIL import Image, ImageDraw

    canvas = Image.new("L", (pixels * SUPERSAMPLING,) * 2)
    draw = ImageDraw.Draw(canvas)
    angle = math.radians(place.turn)
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    for points, value in zip(outlines(shape), (255, 0, 0), strict=False):
        moved = (points @ turn.T * place.radius + (place.x, place.y)) * SUPERSAMPLING - 0.5
        draw.polygon([(float(x), float(y)) for x, y in moved], fill=value)
    return np.asarray(canvas.reduce(SUPERSAMPLING), dtype=np.float64) / 255


def draw_scene(
    scene: Scene, places: Sequence[Place], generator: np.random.Generator | None = None
) -> NDArray[np.uint8]:
    """A picture with shape (PIXELS, PIXELS, 3).

    Arguments:
        scene, places: What to draw and where.
        generator: Varies the colours a little; None draws them exactly.
    """
    colour = _jittered((COLOURS | UNNAMED_COLOURS)[scene.colour], generator)
    canvas = np.broadcast_to(
        _jittered(BACKGROUNDS[scene.background], generator), (PIXELS, PIXELS, 3)
    ).copy()
    for place in places:
        cover = shape_mask(scene.shape, place)[..., None]
        canvas = cover * _filled(scene.fill, colour) + (1 - cover) * canvas
    return np.round(canvas).clip(0, 255).astype(np.uint8)


def scene_image(scene: Scene, places: Sequence[Place]) -> Image:
    """The picture of `draw_scene`, colours exact, as a PIL image."""
    from PIL import Image

    return Image.fromarray(draw_scene(scene, places))


def _filled(fill: str, colour: NDArray[np.float64]) -> NDArray[np.float64]:
    """The colour of each pixel inside a shape, with shape (PIXELS, PIXELS, 3)."""
    rows = np.arange(PIXELS)
    dark = (rows % (2 * STRIPE) < STRIPE) if fill == "striped" else np.zeros(PIXELS, dtype=bool)
    shade = np.where(dark, STRIPE_SHADE, 1.0)
    return np.broadcast_to(shade[:, None, None] * colour, (PIXELS, PIXELS, 3))


def _jittered(colour: Sequence[int], generator: np.random.Generator | None) -> NDArray[np.float64]:
    exact = np.array(colour, dtype=np.float64)
    if generator is None:
        return exact
    return exact + generator.uniform(-COLOUR_JITTER, COLOUR_JITTER, size=3)
