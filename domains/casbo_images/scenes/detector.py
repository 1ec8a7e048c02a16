"""A simple detector of what is in a picture: no learning, so that no learned score can fool it.

The background is the colour of the picture's border, shapes are connected regions that differ from
it, and each is compared with the outlines of all shapes at all turns. Pictures that are no scene
(regions of several colours or of no known shape, nothing at all) are found invalid.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .caption import Description
from .drawing import shape_mask
from .scene import (
    BACKGROUNDS,
    CELLS,
    COLOURS,
    COLUMNS,
    COUNTS,
    LARGEST_TURN,
    PIXELS,
    RADII,
    ROWS,
    SHAPES,
    UNNAMED_COLOURS,
    UNNAMED_SHAPES,
    Place,
    Scene,
)

if TYPE_CHECKING:
    from PIL.Image import Image

BACKGROUND_TOLERANCE = 48.0  # largest distance of the background's colour from a known one
COLOUR_TOLERANCE = 75.0
DIFFERENT = 42.0  # colour distance from the background at which a pixel belongs to a shape
SMALLEST_REGION = 12  # pixels; what is smaller is dust
OVERLAP = 0.66  # intersection over union with the outline, at least, of a known shape
STRIPED_SPREAD = 0.12  # share of brightness by which the rows of a striped shape differ
TEMPLATE = 24  # pixels along a template


@dataclass(frozen=True)
class Detection:
    """What a picture shows.

    Arguments:
        scene: Its attributes; None where the picture is no scene.
        problem: Why it is none, or None.
        overlap: Intersection over union of the worst region with its shape's outline.
    """

    scene: Scene | None
    problem: str | None = None
    overlap: float = 0.0

    @property
    def valid(self) -> bool:
        """Whether the picture is a scene of the small world."""
        return self.scene is not None

    def agreement(self, wanted: Description) -> float:
        """The share of the stated attributes that the picture has; 0 where it is no scene."""
        stated = wanted.stated()
        if self.scene is None or not stated:
            return float(self.valid)
        right = [getattr(self.scene, name) == value for name, value in stated.items()]
        return float(np.mean(right))


def detect(image: Image | NDArray[np.uint8]) -> Detection:
    """The attributes of one picture.

    Arguments:
        image: An RGB image of any size, or an array with shape (H, W, 3).
    """
    pixels = _pixels(image)
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    ground = np.median(border, axis=0)
    background, distance = _nearest(ground, BACKGROUNDS)
    if distance > BACKGROUND_TOLERANCE:
        return Detection(None, f"background of colour {ground.round().tolist()}")
    regions = _regions(np.linalg.norm(pixels - ground, axis=-1) > DIFFERENT)
    if len(regions) not in COUNTS:
        return Detection(None, f"{len(regions)} shapes")
    found = [_region_attributes(pixels, region) for region in regions]
    overlap = min(shape.overlap for shape in found)
    problem = _problem(found)
    if problem is not None:
        return Detection(None, problem, overlap)
    radius = float(np.mean([shape.radius for shape in found]))
    scene = Scene(
        shape=found[0].shape,
        colour=found[0].colour,
        size=_size(radius),
        background=background,
        count=len(found),
        position=_position(found[0].center) if len(found) == 1 else None,
        fill="striped" if found[0].striped else "plain",
    )
    return Detection(scene, None, overlap)


@dataclass(frozen=True)
class _Region:
    shape: str
    overlap: float
    colour: str
    colour_distance: float
    radius: float
    center: tuple[float, float]  # x, y
    striped: bool


def _problem(found: Sequence[_Region]) -> str | None:
    """Why these regions are not the shapes of one scene, or None."""
    worst = min(found, key=lambda shape: shape.overlap)
    if worst.overlap < OVERLAP:
        return f"no known shape (nearest: {worst.shape}, overlap {worst.overlap:.2f})"
    farthest = max(found, key=lambda shape: shape.colour_distance)
    if farthest.colour_distance > COLOUR_TOLERANCE:
        return f"no known colour (nearest: {farthest.colour})"
    for name in ("shape", "colour"):
        kinds = {getattr(shape, name) for shape in found}
        if len(kinds) > 1:
            return f"different {name}s: {', '.join(sorted(kinds))}"
    return None


def _pixels(image: Image | NDArray[np.uint8]) -> NDArray[np.float64]:
    from PIL import Image as Images

    picture = image if isinstance(image, Images.Image) else Images.fromarray(image)
    if picture.size != (PIXELS, PIXELS):
        picture = picture.resize((PIXELS, PIXELS), Images.Resampling.BOX)
    return np.asarray(picture.convert("RGB"), dtype=np.float64)


def _regions(different: NDArray[np.bool_]) -> list[NDArray[np.bool_]]:
    labels, count = ndimage.label(different, structure=np.ones((3, 3)))
    regions = [labels == number for number in range(1, count + 1)]
    return [region for region in regions if region.sum() >= SMALLEST_REGION]


def _region_attributes(pixels: NDArray[np.float64], region: NDArray[np.bool_]) -> _Region:
    rows, columns = np.nonzero(region)
    top, bottom, left, right = rows.min(), rows.max() + 1, columns.min(), columns.max() + 1
    shape, overlap = _shape_of(region)
    inner = ndimage.binary_erosion(region)
    inside = inner if inner.sum() >= SMALLEST_REGION else region
    brightness = pixels.mean(-1)
    by_row = [brightness[row][inside[row]].mean() for row in range(PIXELS) if inside[row].any()]
    striped = (
        len(by_row) > 2
        and float(np.abs(np.diff(by_row)).mean() / np.mean(by_row)) > STRIPED_SPREAD
    )
    values = pixels[inside]
    if striped:  # the colour is that of the lighter stripes
        values = values[values.mean(-1) >= np.quantile(values.mean(-1), 0.7)]
    colour, distance = _nearest(np.median(values, axis=0), COLOURS | UNNAMED_COLOURS)
    radius = max(bottom - top, right - left) / 2
    center = ((left + right - 1) / 2, (top + bottom - 1) / 2)
    return _Region(shape, overlap, colour, distance, radius, center, striped)


def _shape_of(region: NDArray[np.bool_]) -> tuple[str, float]:
    """The known shape that overlaps most with a region."""
    names, templates = _templates()
    template = _template(region)
    overlaps = (templates & template).sum((1, 2)) / (templates | template).sum((1, 2))
    best = int(overlaps.argmax())
    return names[best], float(overlaps[best])


@cache
def _templates() -> tuple[list[str], NDArray[np.bool_]]:
    """Every shape at several turns."""
    turns = np.linspace(-LARGEST_TURN, LARGEST_TURN, 5)
    kinds = [(shape, turn) for shape in (*SHAPES, *UNNAMED_SHAPES) for turn in turns.tolist()]
    middle, radius = PIXELS / 2, PIXELS / 2.6
    masks = [shape_mask(shape, Place(middle, middle, radius, turn)) for shape, turn in kinds]
    return [shape for shape, _ in kinds], np.stack([_template(mask > 0.5) for mask in masks])


def _template(region: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """A region's bounding box, made square around its centre and brought to one size."""
    from PIL import Image

    rows, columns = np.nonzero(region)
    cut = region[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    side = max(cut.shape)
    top, left = (side - cut.shape[0]) // 2, (side - cut.shape[1]) // 2
    square = np.zeros((side, side), dtype=np.uint8)
    square[top : top + cut.shape[0], left : left + cut.shape[1]] = cut * 255
    scaled = Image.fromarray(square).resize((TEMPLATE, TEMPLATE), Image.Resampling.BILINEAR)
    return np.asarray(scaled) > 127


def _nearest(
    colour: NDArray[np.float64], known: dict[str, tuple[int, int, int]]
) -> tuple[str, float]:
    distances = {name: float(np.linalg.norm(colour - value)) for name, value in known.items()}
    name = min(distances, key=lambda key: distances[key])
    return name, distances[name]


def _size(radius: float) -> str:
    return min(RADII, key=lambda size: abs(radius - float(np.mean(RADII[size]))))


def _position(center: tuple[float, float]) -> tuple[str, str]:
    def cell(value: float) -> int:
        return int(np.abs(np.array(CELLS) - value).argmin())

    return ROWS[cell(center[1])], COLUMNS[cell(center[0])]
