"""Scores by name: what they are, how they add up, which way is better."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from casbo.errors import CasboError
from casbo.scorer import read_replies, scorer_direction
from casbo_images.errors import ImageError
from casbo_images.options import ImageOptions
from casbo_images.scores import (
    Brightness,
    ClipScore,
    CombinedScore,
    Contrast,
    HttpScore,
    JpegSize,
    VlmScore,
)
from casbo_images.scoring import (
    SCORES,
    USUAL_CLIP,
    clip_model,
    diversity_model,
    heldout_score,
    named_score,
    read_weights,
    scorer_and_objective,
)
from casbo_images.shipped import SHIPPED_CLIP

from . import tiny_pipelines as tiny

PICTURES = [tiny.picture(seed, size) for seed, size in enumerate((16, 64, 33, 8))]
STAR = "a small yellow star at the top left on a dark background"


def options(**values: Any) -> ImageOptions:
    return ImageOptions(**{"prompt": "a cab", "model": "elsewhere", **values})


def steered(**values: Any) -> tuple[list[float], list[dict[str, float]]]:
    """The steered number and the components of every picture."""
    scorer, objective = scorer_and_objective(options(**values))
    rows = [dict(reply.components) for reply in read_replies(scorer(PICTURES), len(PICTURES))]
    if objective is None:
        assert {len(row) for row in rows} == {1}
        return [next(iter(row.values())) for row in rows], rows
    columns = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    return list(objective(columns)), rows


# Names and weights.

names = st.text(st.characters(blacklist_characters="="), min_size=1)
weights = st.floats(allow_nan=False, allow_infinity=False)


@given(st.dictionaries(names, st.none() | weights, min_size=1))
def test_weights_are_read_as_written(wanted: dict[str, float | None]) -> None:
    texts = [name if weight is None else f"{name}={weight!r}" for name, weight in wanted.items()]
    read = read_weights(texts)
    assert read == {name: 1.0 if weight is None else weight for name, weight in wanted.items()}
    assert list(read) == list(wanted)


@pytest.mark.parametrize("text", ["clip=", "clip=much", "clip=nan", "clip=inf", "clip=1=2"])
def test_weights_that_are_none(text: str) -> None:
    with pytest.raises(ImageError, match="NAME=WEIGHT"):
        read_weights(["jpeg", text])


def test_no_score_or_the_same_twice() -> None:
    with pytest.raises(ImageError, match="at least one"):
        read_weights([])
    with pytest.raises(ImageError, match="each once"):
        read_weights(["clip=1", "jpeg", "clip=2"])


def test_an_unknown_score_names_those_there_are() -> None:
    with pytest.raises(ImageError, match="'beauty'") as caught:
        named_score("beauty", options())
    assert all(name in str(caught.value) for name in SCORES)


@pytest.mark.parametrize(
    ("name", "values", "missing"),
    [
        ("clip", {}, "target"),
        ("clip", {"target": "a", "target_image": "b.png"}, "not both"),
        ("aesthetic", {}, "aesthetic_head"),
        ("colour", {}, "colour"),
        ("http", {}, "url"),
        ("vlm", {"vlm": "m"}, "question"),
        ("vlm", {"question": "?"}, "expected vlm"),
        ("scenes", {}, "target"),
    ],
)
def test_what_a_score_needs_is_named(name: str, values: dict[str, Any], missing: str) -> None:
    with pytest.raises(ImageError, match=f"(?i){missing}"):
        named_score(name, options(**values))


# What is steered.


@pytest.mark.parametrize(
    ("name", "scorer", "direction"),
    [
        ("brightness", Brightness(), "maximize"),
        ("contrast", Contrast(), "maximize"),
        ("jpeg", JpegSize(), "minimize"),
    ],
)
def test_a_score_alone_is_itself_in_its_own_direction(
    name: str, scorer: Any, direction: str
) -> None:
    scores, _ = steered(score=(name,))
    assert scores == scorer(PICTURES)
    made, objective = scorer_and_objective(options(score=(name,)))
    assert objective is None
    assert scorer_direction(made, None) == direction


def test_several_scores_add_up_by_their_weights(tiny_clip: Path) -> None:
    values = {"target": "ab", "clip": str(tiny_clip)}
    scores, rows = steered(score=("clip", "jpeg=-0.01", "brightness=2"), **values)
    clip = ClipScore("ab", tiny_clip)(PICTURES)
    jpeg, brightness = JpegSize()(PICTURES), Brightness()(PICTURES)
    assert [row["clip"] for row in rows] == pytest.approx(clip)
    assert [row["jpeg"] for row in rows] == jpeg
    expected = [c - 0.01 * j + 2 * b for c, j, b in zip(clip, jpeg, brightness, strict=True)]
    assert scores == pytest.approx(expected)


def test_one_score_with_a_weight_is_weighted() -> None:
    scores, rows = steered(score=("jpeg=-0.5",))
    assert scores == pytest.approx([-0.5 * row["jpeg"] for row in rows])


@pytest.mark.parametrize("score", [("jpeg", "brightness"), ("jpeg=-1",), ("contrast=3",)])
def test_a_sum_is_maximized_unless_stated(score: tuple[str, ...]) -> None:
    for stated, expected in ((None, "maximize"), ("minimize", "minimize")):
        scorer, _ = scorer_and_objective(options(score=score, direction=stated))
        assert isinstance(scorer, CombinedScore)
        assert scorer_direction(scorer, stated) == expected


def test_of_a_scene_its_agreement_is_steered() -> None:
    scores, rows = steered(score=("scenes",), target=STAR)
    assert scores == [row["agreement"] for row in rows]
    assert set(rows[0]) == {"agreement", "valid"}
    scores, rows = steered(score=("scenes=2", "brightness"), target=STAR)
    expected = [2 * row["scenes.agreement"] + row["brightness"] for row in rows]
    assert scores == pytest.approx(expected)


def test_a_colour_a_service_and_a_model_that_answers() -> None:
    red = named_score("colour", options(colour=(255, 0, 0)))
    assert red([tiny.Image.new("RGB", (3, 3), "red")]) == [1.0]
    assert isinstance(named_score("http", options(url="http://127.0.0.1:9/x")), HttpScore)
    asked = named_score("vlm", options(question="?", vlm="m", vlm_url="http://127.0.0.1:9/v1"))
    assert isinstance(asked, VlmScore)
    assert asked.service.url == "http://127.0.0.1:9/v1/chat/completions"


def test_a_picture_may_be_the_target(tiny_clip: Path, tmp_path: Path) -> None:
    PICTURES[2].save(tmp_path / "target.png")
    scores, _ = steered(clip=str(tiny_clip), target_image=str(tmp_path / "target.png"))
    assert max(range(4), key=scores.__getitem__) == 2
    assert scores[2] == pytest.approx(1.0, abs=1e-5)


def test_a_key_in_an_address_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CASBO_TEST_KEY", "s3cret")
    asked = options(url="http://127.0.0.1:9/x?key=$CASBO_TEST_KEY&cost=$$3")
    scorer = named_score("http", asked)
    assert scorer.service.url.endswith("?key=s3cret&cost=$3")
    assert "s3cret" not in str(asked.to_json())
    assert "s3cret" not in str(scorer.describe())
    monkeypatch.delenv("CASBO_TEST_KEY")
    for url in (asked.url, "http://127.0.0.1:9/x?cost=$3"):
        with pytest.raises(ImageError, match="environment variable"):
            named_score("http", options(url=url))


# Which model looks at the pictures.


def test_the_shipped_pipeline_comes_with_its_clip() -> None:
    assert clip_model(options(model="scenes")) == str(SHIPPED_CLIP)
    assert clip_model(options(clip="scenes")) == str(SHIPPED_CLIP)
    assert clip_model(options()) == USUAL_CLIP
    assert clip_model(options(model="scenes", clip="mine")) == "mine"


@pytest.mark.parametrize(
    ("values", "model"),
    [
        ({"score": ("jpeg",)}, None),
        ({"score": ("jpeg",), "heldout": "brightness"}, None),
        ({"score": ("jpeg",), "clip": "mine"}, "mine"),
        ({"score": ("jpeg", "clip")}, USUAL_CLIP),
        ({"score": ("aesthetic=2",)}, USUAL_CLIP),
        ({"score": ("jpeg",), "heldout": "aesthetic"}, USUAL_CLIP),
        ({"score": ("jpeg",), "heldout": "clip", "heldout_clip": "other"}, "other"),
        ({"score": ("jpeg",), "heldout": "clip"}, USUAL_CLIP),
        ({"heldout": "clip", "heldout_clip": "other"}, USUAL_CLIP),
        ({"heldout": "clip", "heldout_clip": "other", "clip": "mine"}, "mine"),
        ({"score": ("jpeg",), "model": "scenes"}, str(SHIPPED_CLIP)),
    ],
)
def test_diversity_is_measured_by_a_clip_that_is_loaded_anyway(
    values: dict[str, Any], model: str | None
) -> None:
    assert diversity_model(options(**values)) == model


# What is reported only.


def test_nothing_is_held_out_unless_asked_for() -> None:
    assert heldout_score(options()) is None
    assert heldout_score(options(target="a cat")) is None
    assert heldout_score(options(model="scenes")) is None


def test_the_shipped_model_is_looked_at_by_the_detector() -> None:
    heldout = heldout_score(options(model="scenes", target=STAR))
    assert heldout is not None
    assert set(heldout(PICTURES)) == {"agreement", "valid"}


def test_a_held_out_clip_is_another_one(tiny_clip: Path, other_clip: Path) -> None:
    values = {"target": "ab", "clip": str(tiny_clip), "heldout": "clip"}
    with pytest.raises(ImageError, match="heldout_clip"):
        heldout_score(options(**values))
    heldout = heldout_score(options(**values, heldout_clip=str(other_clip)))
    assert heldout is not None
    assert heldout(PICTURES) == ClipScore("ab", other_clip)(PICTURES)
    assert heldout(PICTURES) != pytest.approx(ClipScore("ab", tiny_clip)(PICTURES))


def test_the_same_clip_is_no_other_one(tiny_clip: Path) -> None:
    same = str(tiny_clip)
    with pytest.raises(ImageError, match="another"):
        heldout_score(options(target="ab", clip=same, heldout="clip", heldout_clip=same))


def test_a_clip_that_is_not_steered_may_be_held_out(tiny_clip: Path) -> None:
    values = {"score": ("brightness",), "target": "ab", "clip": str(tiny_clip)}
    heldout = heldout_score(options(**values, heldout="clip"))
    assert heldout is not None
    assert heldout(PICTURES) == ClipScore("ab", tiny_clip)(PICTURES)


def test_a_direction_that_is_none_is_refused() -> None:
    scorer, _ = scorer_and_objective(options(score=("jpeg=1",), direction="up"))
    with pytest.raises(CasboError, match="direction"):
        scorer_direction(scorer, "up")
