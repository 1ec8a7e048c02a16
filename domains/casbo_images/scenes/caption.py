"""Captions: English for a scene, whole or with attributes left out; and what a caption allows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from .scene import BACKGROUNDS, COLOURS, COUNTS, POSITIONS, RADII, SHAPES, Scene

NUMBERS = {1: "a", 2: "two", 3: "three"}
PLURALS = {"cross": "crosses"}
#: How often a random caption leaves an attribute out.
OMITTED = {"shape": 0.15, "colour": 0.2, "size": 0.3, "position": 0.3, "background": 0.3}
VAGUE_SHARE = 0.1  # of random captions: nothing but "a shape" or "shapes"
ATTRIBUTES = ("shape", "colour", "size", "count", "position", "background")


@dataclass(frozen=True)
class Description:
    """The attributes that a caption states; None for those it leaves open."""

    shape: str | None = None
    colour: str | None = None
    size: str | None = None
    count: int | None = None
    position: tuple[str, str] | None = None
    background: str | None = None

    @classmethod
    def of(cls, scene: Scene) -> Description:
        """All of a scene that words exist for."""
        return cls(
            shape=scene.shape if scene.shape in SHAPES else None,
            colour=scene.colour if scene.colour in COLOURS else None,
            size=scene.size,
            count=scene.count,
            position=scene.position,
            background=scene.background,
        )

    def stated(self) -> Mapping[str, object]:
        """The attributes that are stated, by name."""
        values = {name: getattr(self, name) for name in ATTRIBUTES}
        return {name: value for name, value in values.items() if value is not None}

    def allows(self, scene: Scene) -> bool:
        """Whether a scene has everything that is stated."""
        return all(getattr(scene, name) == value for name, value in self.stated().items())

    def text(self) -> str:
        """The caption, such as "a small yellow star at the top left on a dark background"."""
        noun, count = self.shape or "shape", self.count or 1
        if count > 1:
            noun = PLURALS.get(noun, f"{noun}s")
        words = [word for word in (self.size, self.colour) if word]
        number = "an" if count == 1 and [*words, noun][0][0] in "aeiou" else NUMBERS[count]
        text = " ".join([number, *words, noun])
        if self.position is not None:
            text += f" at the {position_words(self.position)}"
        if self.background is not None:
            text += f" on a {self.background} background"
        return text


def position_words(position: tuple[str, str]) -> str:
    """("top", "left") -> "top left", ("middle", "right") -> "right", both middle -> "center"."""
    words = [word for word in position if word != "middle"]
    return " ".join(words) or "center"


def parse(text: str) -> Description:
    """The description that a caption of this module states; the inverse of `text`."""
    words = text.lower().split()
    singular = {PLURALS.get(shape, f"{shape}s"): shape for shape in SHAPES}
    nouns = [singular.get(word, word) for word in words]
    counts = {name: number for number, name in NUMBERS.items()} | {"an": 1}
    place = text.partition(" at the ")[2].partition(" on a ")[0]
    positions = {position_words(position): position for position in POSITIONS}
    return Description(
        shape=_first(nouns, SHAPES),
        colour=_first(words, COLOURS),
        size=_first(words, RADII),
        count=counts.get(words[0]) if words else None,
        position=positions.get(place.lower()),
        background=_first(words[-2:], BACKGROUNDS),
    )


def random_description(scene: Scene, generator: np.random.Generator) -> Description:
    """What a random caption of a scene states: some of it, sometimes nearly nothing."""
    whole = Description.of(scene)
    left_out = {name: None for name, share in OMITTED.items() if generator.random() < share}
    if generator.random() < VAGUE_SHARE:
        left_out = dict.fromkeys(OMITTED)
    values = {name: getattr(whole, name) for name in ATTRIBUTES}
    return Description(**{**values, **left_out})


def vocabulary() -> list[str]:
    """Every word that captions are made of, in a fixed order."""
    nouns = [*SHAPES, "shape"]
    plurals = [PLURALS.get(noun, f"{noun}s") for noun in nouns]
    numbers = ["an", *(NUMBERS[count] for count in COUNTS)]
    places = ["at", "the", "top", "bottom", "left", "right", "center", "on", "background"]
    return [*numbers, *nouns, *plurals, *COLOURS, *RADII, *BACKGROUNDS, *places]


def _first(words: list[str], known: object) -> str | None:
    return next((word for word in words if word in known), None)  # type: ignore[operator]
