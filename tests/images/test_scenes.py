"""The small world: pictures, captions and the detector agree with one another."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("PIL")

from casbo_images.scenes.caption import (
    ATTRIBUTES,
    Description,
    parse,
    random_description,
    vocabulary,
)
from casbo_images.scenes.detector import detect
from casbo_images.scenes.drawing import draw_scene, outlines, scene_image, shape_mask
from casbo_images.scenes.scene import (
    BACKGROUNDS,
    COLOURS,
    COUNTS,
    PIXELS,
    POSITIONS,
    RADII,
    SHAPES,
    UNNAMED_COLOURS,
    UNNAMED_SHAPES,
    Place,
    Scene,
    random_scenes,
)
from casbo_images.scenes.score import SceneScore

ALL_SHAPES = (*SHAPES, *UNNAMED_SHAPES)


def optional(values):
    return st.one_of(st.none(), st.sampled_from(sorted(values)))


descriptions = st.builds(
    Description,
    shape=optional(SHAPES),
    colour=optional(COLOURS),
    size=optional(RADII),
    count=st.sampled_from(COUNTS),
    position=optional(POSITIONS),
    background=optional(BACKGROUNDS),
)


@given(descriptions)
def test_a_caption_says_what_it_was_made_from(description):
    assert parse(description.text()) == description
    assert set(description.text().split()) <= {*vocabulary(), "a", "an"}


@given(st.text(max_size=40))
def test_any_text_can_be_parsed(text):
    assert isinstance(parse(text), Description)


def test_captions_are_english():
    star = Description("star", "yellow", "small", 1, ("top", "left"), "dark")
    assert star.text() == "a small yellow star at the top left on a dark background"
    assert Description("circle", "orange", count=1).text() == "an orange circle"
    assert Description("cross", count=3).text() == "three crosses"
    assert Description().text() == "a shape"
    center = Description("ring", count=1, position=("middle", "middle"))
    assert center.text() == "a ring at the center"


def test_random_captions_are_true():
    generator = np.random.default_rng(0)
    for scene, _ in random_scenes(0, 200, held_out=False):
        description = random_description(scene, generator)
        assert description.allows(scene)
        assert "None" not in description.text()
        other = dataclasses.replace(scene, size="small" if scene.size != "small" else "medium")
        assert description.allows(other) == (description.size is None)


def test_unnamed_shapes_and_colours_have_no_word():
    words = set(vocabulary())
    assert not words & {*UNNAMED_SHAPES, *UNNAMED_COLOURS, "striped"}
    scene = Scene("heart", "teal", "small", "dark", 1, ("top", "left"), "striped")
    assert Description.of(scene).text() == "a small shape at the top left on a dark background"


def test_held_out_combinations_are_a_tenth_and_apart():
    training = {scene for scene, _ in random_scenes(1, 400, held_out=False)}
    test = {scene for scene, _ in random_scenes(2, 400, held_out=True)}
    assert not training & test
    everything = [
        Scene(shape, colour, size, background, 1, position)
        for shape in SHAPES
        for colour in COLOURS
        for size in RADII
        for background in BACKGROUNDS
        for position in POSITIONS
    ]
    share = np.mean([scene.held_out for scene in everything])
    assert abs(share - 0.1) < 6 * np.sqrt(0.1 * 0.9 / len(everything))


def test_scenes_depend_on_the_seed_only():
    first, again, other = (list(random_scenes(seed, 20, held_out=False)) for seed in (3, 3, 4))
    assert first == again != other


@pytest.mark.parametrize("shape", ALL_SHAPES)
def test_outlines_fill_their_box(shape):
    outer = outlines(shape)[0]
    low, high = outer.min(0), outer.max(0)
    np.testing.assert_allclose((high - low).max(), 2)
    np.testing.assert_allclose(low + high, 0, atol=1e-12)


@pytest.mark.parametrize(
    ("shape", "area"), [("circle", np.pi), ("square", 4.0), ("ring", np.pi * (1 - 0.52**2))]
)
def test_masks_have_the_area_of_their_shape(shape, area):
    radius = 15.0
    mask = shape_mask(shape, Place(32, 32, radius, 0.0))
    # outlines are drawn half a subpixel wide
    np.testing.assert_allclose(mask.sum(), area * radius**2, rtol=0.02)


def test_shapes_of_a_scene_do_not_touch_or_leave_the_picture():
    for scene, places in random_scenes(5, 200, held_out=False):
        assert len(places) == scene.count
        masks = [shape_mask(scene.shape, place) for place in places]
        assert np.sum([mask > 0 for mask in masks], axis=0).max() == 1
        for mask, place in zip(masks, places, strict=True):
            middle = dataclasses.replace(place, x=PIXELS / 2, y=PIXELS / 2)
            assert mask.sum() > 0.95 * shape_mask(scene.shape, middle).sum()


@pytest.mark.parametrize("deviation", [0, 8])
def test_the_detector_sees_what_was_drawn(deviation):
    generator = np.random.default_rng(6)
    right = []
    for scene, places in random_scenes(6, 150, held_out=False):
        picture = draw_scene(scene, places, generator).astype(float)
        noisy = picture + deviation * generator.standard_normal(picture.shape)
        right.append(detect(noisy.clip(0, 255).astype(np.uint8)).scene == scene)
    assert np.mean(right) > 0.95


def test_the_detector_does_not_mind_the_size_of_a_picture():
    scene, places = next(random_scenes(7, 1, held_out=False))
    image = scene_image(scene, places)
    assert detect(image.resize((256, 256))).scene == detect(image).scene == scene


def test_pictures_that_are_no_scene_are_invalid():
    generator = np.random.default_rng(0)
    noise = generator.integers(0, 256, (PIXELS, PIXELS, 3), dtype=np.uint8)
    assert not detect(noise).valid
    empty = np.full((PIXELS, PIXELS, 3), BACKGROUNDS["dark"], dtype=np.uint8)
    assert detect(empty).problem == "0 shapes"
    scenes = [
        Scene("star", "red", "medium", "dark", 1, ("top", "left")),
        Scene("circle", "red", "medium", "dark", 1, ("bottom", "right")),
    ]
    places = [[Place(18, 18, 10, 0)], [Place(46, 46, 10, 0)]]
    one, two = (draw_scene(s, p) for s, p in zip(scenes, places, strict=True))
    assert detect(np.maximum(one, two)).problem == "different shapes: circle, star"
    line = empty.copy()
    line[10:54, 30:32] = COLOURS["red"]
    assert "no known shape" in (detect(line).problem or "")


@given(st.integers(1, 40), st.integers(1, 40), st.sampled_from(["L", "RGB", "RGBA", "P"]))
@settings(max_examples=20)
def test_any_picture_can_be_looked_at(width, height, mode):
    from PIL import Image

    assert not detect(Image.new(mode, (width, height))).valid


def test_agreement_counts_stated_attributes():
    scene = Scene("star", "yellow", "small", "dark", 1, ("top", "left"))
    image = scene_image(scene, [Place(18, 18, 7, 0.0)])
    score = SceneScore("a small yellow star at the top left on a dark background")
    assert score([image])["agreement"][0] == 1
    wrong = SceneScore("a large red star at the top left on a dark background")
    assert wrong([image])["agreement"][0] == pytest.approx(4 / len(ATTRIBUTES))
    empty = image.copy()
    empty.paste(BACKGROUNDS["dark"], (0, 0, *image.size))
    assert score([empty]) == {"agreement": 0, "valid": 0}
