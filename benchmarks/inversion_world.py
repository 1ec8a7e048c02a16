"""The benchmark's concepts: what the small text-to-image model draws and has no single word for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from PIL.Image import Image

from casbo_images.scenes.caption import position_words
from casbo_images.scenes.detector import detect
from casbo_images.scenes.drawing import scene_image
from casbo_images.scenes.scene import (
    BACKGROUNDS,
    COLOURS,
    POSITIONS,
    SHAPES,
    Scene,
    random_places,
)

#: What several words say together, or words and an attribute that no caption names.
COMBINATIONS: Mapping[str, Mapping[str, str]] = {
    "large blue": {"colour": "blue", "size": "large"},
    "yellow on dark": {"colour": "yellow", "background": "dark"},
    "small purple on light": {"colour": "purple", "size": "small", "background": "light"},
    "teal on light": {"colour": "teal", "background": "light"},
    "red ring on grey": {"colour": "red", "shape": "ring", "background": "grey"},
    "striped orange": {"colour": "orange", "fill": "striped"},
}
#: Attributes that no caption names, alone or two of them: no direction of the text tells them apart.
UNNAMED: Mapping[str, Mapping[str, str]] = {
    "heart": {"shape": "heart"},
    "crescent": {"shape": "crescent"},
    "teal": {"colour": "teal"},
    "brown": {"colour": "brown"},
    "striped": {"fill": "striped"},
    "teal heart": {"colour": "teal", "shape": "heart"},
}
#: Others, for choosing settings: none of them is in the report.
TUNING: Mapping[str, Mapping[str, str]] = {
    "pink on grey": {"colour": "pink", "background": "grey"},
    "orange on light": {"colour": "orange", "background": "light"},
    "large green star": {"colour": "green", "size": "large", "shape": "star"},
    "teal crescent": {"colour": "teal", "shape": "crescent"},
    "brown heart": {"colour": "brown", "shape": "heart"},
    "striped heart": {"fill": "striped", "shape": "heart"},
    "brown striped": {"colour": "brown", "fill": "striped"},
}
ALL = {**COMBINATIONS, **UNNAMED, **TUNING}
#: What the command line calls them.
GROUPS: Mapping[str, tuple[str, ...]] = {
    "combinations": tuple(COMBINATIONS),
    "unnamed": tuple(UNNAMED),
    "tuning": tuple(TUNING),
}
#: Prompts in the grammar of the world's captions.
PLAIN = "a {}"
TEMPLATES = (PLAIN,)
CONTEXTS = {position: f"a {{}} at the {position_words(position)}" for position in POSITIONS}
TRAINING, HELD_OUT = 4, 16  # pictures


@dataclass(frozen=True)
class Concept:
    """A concept with pictures to learn from and pictures to test on.

    Arguments:
        name: A key of `ALL`.
        attributes: What all pictures have in common.
        training: The pictures to learn from.
        held_out: Others.
    """

    name: str
    attributes: Mapping[str, str]
    training: Sequence[Image]
    held_out: Sequence[Image]

    @classmethod
    def drawn(cls, name: str, seed: int) -> Concept:
        """The concept with pictures that are a function of its name and the seed."""
        words = [seed, *name.encode()]
        training, held_out = (
            [_picture(ALL[name], np.random.default_rng([stream, *words, n])) for n in range(count)]
            for stream, count in ((1, TRAINING), (2, HELD_OUT))
        )
        return cls(name, ALL[name], training, held_out)

    def agreement(self, images: Sequence[Image]) -> float:
        """The share of the concept's attributes that pictures have, by the detector."""
        found = [detect(image).scene for image in images]
        return float(np.mean([_share(scene, self.attributes) for scene in found]))


def placed(images: Sequence[Image], positions: Sequence[tuple[str, str]]) -> float:
    """The share of pictures with one shape at the position asked for."""
    found = [detect(image).scene for image in images]
    pairs = zip(found, positions, strict=True)
    return float(np.mean([s is not None and s.position == place for s, place in pairs]))


def _share(scene: Scene | None, attributes: Mapping[str, str]) -> float:
    if scene is None:
        return 0.0
    return float(np.mean([getattr(scene, name) == value for name, value in attributes.items()]))


def _picture(attributes: Mapping[str, str], random: np.random.Generator) -> Image:
    """One shape of the concept; everything else varies."""
    scene = Scene(
        shape=str(random.choice(SHAPES)),
        colour=str(random.choice(tuple(COLOURS))),
        size=str(random.choice(("medium", "large"))),
        background=str(random.choice(tuple(BACKGROUNDS))),
        position=POSITIONS[random.integers(len(POSITIONS))],
    )
    scene = replace(scene, **attributes)
    return scene_image(scene, random_places(scene, random))
