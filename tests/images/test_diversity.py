"""Diversity: the mean over pairs, by going through the pairs."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import pytest

from casbo_images import Diversity
from casbo_images.errors import ImageError
from casbo_images.scores import ClipEmbedding

from . import tiny_pipelines as tiny

PICTURES = [tiny.picture(seed) for seed in range(7)]


@pytest.mark.parametrize("count", [2, 3, 7])
def test_it_is_the_mean_distance_over_all_pairs(tiny_clip: Path, count: int) -> None:
    pictures = PICTURES[:count]
    rows = ClipEmbedding(tiny_clip).images(pictures).double()
    distances = [
        1 - float(a @ b / (a.norm() * b.norm())) for a, b in itertools.combinations(rows, 2)
    ]
    measured = Diversity(tiny_clip)(pictures)
    assert measured == pytest.approx(sum(distances) / len(distances), abs=1e-6)
    assert 0 < measured < 2
    assert Diversity(str(tiny_clip))(pictures[::-1]) == pytest.approx(measured, abs=1e-6)


def test_equal_pictures_have_none(tiny_clip: Path) -> None:
    assert Diversity(tiny_clip)(PICTURES[:1] * 5) == pytest.approx(0, abs=1e-6)


def test_fewer_than_two_pictures_have_no_distance(tiny_clip: Path) -> None:
    diversity = Diversity(tiny_clip)
    assert math.isnan(diversity(PICTURES[:1]))
    assert math.isnan(diversity([]))


def test_a_model_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="absent"):
        Diversity(tmp_path / "absent")
    with pytest.raises(ImageError, match="cannot be loaded"):
        Diversity(tmp_path).prepare()
