"""Pictures as files, as data URIs, in grids and as digests."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from casbo.picture import picture_uri
from casbo_images.errors import ImageError
from casbo_images.pictures import (
    GAP,
    SAVED_GRID,
    THUMBNAIL,
    colour_layout,
    describe_input,
    grid,
    image_digest,
    image_markup,
    png_bytes,
    read_image,
    save_pictures,
)
from casbo_images.rollout import DiffusersRollout

from . import tiny_pipelines as tiny

PIXELS = arrays(np.uint8, st.tuples(st.integers(1, 6), st.integers(1, 6), st.just(3)))


def decoded(markup: str) -> Image.Image:
    uri = picture_uri(markup)
    assert uri is not None
    assert f'src="{uri}"' in markup
    return Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))


@given(PIXELS)
def test_png_keeps_every_pixel(pixels: np.ndarray) -> None:
    image = Image.fromarray(pixels)
    read = Image.open(io.BytesIO(png_bytes(image)))
    np.testing.assert_array_equal(np.asarray(read), pixels)
    np.testing.assert_array_equal(np.asarray(decoded(image_markup(image))), pixels)


@given(PIXELS, PIXELS)
def test_digests_tell_pictures_apart(a: np.ndarray, b: np.ndarray) -> None:
    same = a.shape == b.shape and bool((a == b).all())
    assert (image_digest(Image.fromarray(a)) == image_digest(Image.fromarray(b))) == same
    assert image_digest(Image.fromarray(a.copy())) == image_digest(Image.fromarray(a))


def test_digests_know_the_size() -> None:
    wide, high = (Image.new("RGB", size) for size in ((6, 2), (2, 6)))
    assert image_digest(wide) != image_digest(high)
    assert image_digest(wide).startswith("6x2 sha256:")


def test_large_pictures_are_shown_small() -> None:
    image = tiny.picture(size=3 * THUMBNAIL)
    shown = decoded(image_markup(image))
    assert max(shown.size) == THUMBNAIL
    assert image.size == (3 * THUMBNAIL,) * 2  # not changed
    small = np.asarray(image.resize(shown.size)).astype(int)
    assert np.abs(np.asarray(shown).astype(int) - small).mean() < 3


@pytest.mark.parametrize(("count", "columns"), [(1, None), (5, None), (7, 3), (2, 4)])
@pytest.mark.parametrize("scale", [1, 2])
def test_a_grid_holds_every_picture(count: int, columns: int | None, scale: int) -> None:
    images = [tiny.picture(seed, 5) for seed in range(count)]
    sheet = np.asarray(grid(images, columns, scale))
    across = columns or int(np.ceil(np.sqrt(count)))
    side = 5 * scale
    assert sheet.shape[1] == across * (side + GAP) - GAP
    for index, image in enumerate(images):
        top, left = (place * (side + GAP) for place in divmod(index, across))
        block = sheet[top : top + side, left : left + side]
        np.testing.assert_array_equal(block[::scale, ::scale], np.asarray(image))
    used = np.zeros(sheet.shape[:2], bool)
    for index in range(count):
        top, left = (place * (side + GAP) for place in divmod(index, across))
        used[top : top + side, left : left + side] = True
    assert (sheet[~used] == 255).all()


def test_an_empty_grid_is_refused() -> None:
    with pytest.raises(ImageError, match="at least one picture"):
        grid([])


def test_saving_writes_pictures_grid_and_scores(tmp_path: Path) -> None:
    images = [tiny.picture(seed) for seed in range(3)]
    scores = [
        {"clip": 0.5, "score": 1.0},
        {"clip": float("nan"), "score": float("-inf")},
        {"clip": 0.0, "score": -1.0},
    ]
    paths = save_pictures(images, scores, tmp_path / "samples")
    names = ["000.png", "001.png", "002.png", "grid.png", "scores.json"]
    assert [path.name for path in paths] == names
    assert sorted(path.name for path in (tmp_path / "samples").iterdir()) == names
    for path, image in zip(paths, images, strict=False):
        np.testing.assert_array_equal(np.asarray(Image.open(path)), np.asarray(image))
    np.testing.assert_array_equal(np.asarray(Image.open(paths[3])), np.asarray(grid(images)))
    rows = json.loads(paths[-1].read_text(), parse_constant=pytest.fail)
    assert [row["file"] for row in rows] == names[:3]
    assert rows[0]["scores"] == scores[0]
    assert rows[1]["scores"] == {"clip": None, "score": None}


def test_saving_one_picture_or_none(tmp_path: Path) -> None:
    paths = save_pictures([tiny.picture()], [{"score": 1.0}], tmp_path)
    assert [path.name for path in paths] == ["000.png", "scores.json"]
    (scores,) = save_pictures([], [], tmp_path / "none")
    assert json.loads(scores.read_text()) == []


def test_the_grid_is_bounded(tmp_path: Path) -> None:
    images = [tiny.picture(seed, 2) for seed in range(SAVED_GRID + 1)]
    paths = save_pictures(images, [{"score": 0.0}] * len(images), tmp_path)
    assert len(paths) == SAVED_GRID + 3
    np.testing.assert_array_equal(
        np.asarray(Image.open(tmp_path / "grid.png")), np.asarray(grid(images[:SAVED_GRID]))
    )


def test_the_rollouts_own_methods_are_these(tmp_path: Path) -> None:
    rollout = DiffusersRollout(tiny.stable_diffusion(), "a", steps=1, steered="start")
    image = tiny.picture()
    assert rollout.identify(image) == image_digest(image)
    np.testing.assert_array_equal(np.asarray(decoded(rollout.picture(image))), np.asarray(image))
    (path, _) = rollout.export([image], [{"score": 1.0}], tmp_path)
    np.testing.assert_array_equal(np.asarray(Image.open(path)), np.asarray(image))


def test_reading_turns_pictures_upright(tmp_path: Path) -> None:
    image = tiny.picture().crop((0, 0, 8, 4))
    upright = Image.Exif()
    upright[0x0112] = 6  # turned by a quarter when it was taken
    image.save(tmp_path / "turned.png", exif=upright)
    read = read_image(tmp_path / "turned.png")
    np.testing.assert_array_equal(np.asarray(read), np.rot90(np.asarray(image), -1))
    image.convert("L").save(tmp_path / "grey.png")
    assert read_image(tmp_path / "grey.png").mode == "RGB"


def test_what_is_no_picture_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "cut.png").write_bytes(png_bytes(tiny.picture(size=64))[:200])
    for name in ("text.png", "cut.png", "none.png", "."):
        with pytest.raises(ImageError, match="Expected a picture in") as error:
            read_image(tmp_path / name)
        assert "\n" not in str(error.value)


def test_inputs_are_described_without_their_contents() -> None:
    image, other = tiny.picture(0), tiny.picture(1)
    tensors = [torch.zeros(2, 3), torch.ones(2, 3)]
    pairs = [
        (image, other),
        ([image], [other]),
        ({"image": image}, {"image": other}),
        (tensors[0], tensors[1]),
        (tensors[0].numpy(), tensors[1].numpy()),
        ({"scale": 0.5}, {"scale": 1.0}),
        (None, False),
        ("a", "b"),
    ]
    for left, right in pairs:
        texts = [json.dumps(describe_input(value)) for value in (left, right)]
        assert texts[0] != texts[1]
        assert max(map(len, texts)) < 200
        assert json.dumps(describe_input(left)) == texts[0]
    assert describe_input(image.copy()) == describe_input(image)


def test_a_colour_layout_is_the_mean_colour_of_each_field() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (16, 24, 3), dtype=np.uint8)
    fields = pixels.reshape(8, 2, 8, 3, 3).mean((1, 3)) / 255
    found = colour_layout(Image.fromarray(pixels))
    np.testing.assert_allclose(found, fields, atol=1 / 255)
    point = DiffusersRollout.point(None, Image.fromarray(pixels))  # type: ignore[arg-type]
    assert torch.equal(point, torch.from_numpy(found).flatten())
