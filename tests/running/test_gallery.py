"""The gallery and the monitors: what a run shows and measures without steering by it."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from casbo.errors import RunFolderError
from casbo.gallery import Gallery
from casbo.picture import picture_uri
from casbo.report import rewrite_report
from casbo.run_folder import RunFolder
from casbo.steering import Steering, steer

from .problems import Sum, sphere
from .test_report import Page, Pictured, check_harmless

PIXEL = "data:image/png;base64,AAAA"


@given(count=st.integers(0, 40), most=st.integers(2, 12))
def test_the_first_and_the_last_are_among_those_shown(
    tmp_path_factory: pytest.TempPathFactory, count: int, most: int
) -> None:
    gallery = Gallery(tmp_path_factory.mktemp("gallery"))
    for iteration in range(count):
        (gallery.folder / f"{iteration:06d}.json").write_text(json.dumps([f"{iteration}"]))
    course = gallery.course(most)
    assert len(course) == min(count, most)
    assert list(course) == sorted(course)
    assert all(list(uris) == [f"{iteration}"] for iteration, uris in course.items())
    if count:
        assert {0, count - 1} <= set(course)
    gaps = [later - earlier for earlier, later in zip(course, list(course)[1:], strict=False)]
    assert not gaps or max(gaps) - min(gaps) <= 1


def test_a_folder_that_is_not_there_shows_nothing(tmp_path: Path) -> None:
    assert Gallery(tmp_path / "none").course() == {}


def test_what_cannot_be_read_is_left_out(tmp_path: Path) -> None:
    gallery = Gallery(tmp_path / "gallery")
    for iteration in range(7):
        gallery.add(iteration, [PIXEL])
    (gallery.folder / "000001.json").write_text('["data:')
    (gallery.folder / "000002.json").write_bytes(b"\xff\xfe")
    (gallery.folder / "000003.json").write_text('{"a": 1}')
    (gallery.folder / "000004.json").write_text("[1, null]")
    (gallery.folder / "000005.json").unlink()
    (gallery.folder / "000005.json").mkdir()
    (gallery.folder / "0x.json").write_text(json.dumps([PIXEL]))
    (gallery.folder / "notes.json").write_text(json.dumps([PIXEL]))
    assert gallery.course() == {0: [PIXEL], 6: [PIXEL]}


def test_an_iteration_shown_again_is_replaced(tmp_path: Path) -> None:
    gallery = Gallery(tmp_path)
    gallery.add(3, ["one", "two"])
    gallery.add(3, ["three"])
    assert gallery.course() == {3: ["three"]}


def test_a_folder_that_cannot_be_made_is_one_error(tmp_path: Path) -> None:
    (tmp_path / "gallery").write_text("a file")
    with pytest.raises(RunFolderError, match="gallery"):
        Gallery(tmp_path / "gallery").add(0, [PIXEL])


# Runs with a gallery and monitors.


def spread(samples: Sequence[Tensor]) -> float:
    """The largest distance between two samples."""
    return max(float((a - b).norm()) for a in samples for b in samples)


class Watched:
    """Keeps the samples it is shown."""

    def __init__(self) -> None:
        self.seen: list[list[Tensor]] = []

    def __call__(self, samples: Sequence[Tensor]) -> float:
        self.seen.append(list(samples))
        return float(len(samples))


def test_pictures_of_the_first_candidates_are_kept(tmp_path: Path) -> None:
    watched = Watched()
    steer(
        Pictured(),
        sphere,
        queries=48,
        population=16,
        run=tmp_path / "run",
        gallery=3,
        monitors={"count": watched},
    )
    course = Gallery(tmp_path / "run" / "gallery").course()
    assert list(course) == [0, 1, 2]
    for iteration, uris in course.items():
        samples = watched.seen[iteration][:3]
        assert list(uris) == [picture_uri(Pictured().picture(sample)) for sample in samples]
    page = Page((tmp_path / "run" / "report.html").read_text())
    names = [attributes["alt"] for tag, attributes in page.tags if tag == "img"]
    assert [n for n in names if n and n.startswith("iteration 3,")] == [
        f"iteration 3, candidate {number}" for number in (1, 2, 3)
    ]


@pytest.mark.parametrize("options", [{"gallery": 0}, {}])
def test_without_a_gallery_nothing_is_kept(tmp_path: Path, options: dict[str, Any]) -> None:
    steer(Pictured(), sphere, queries=16, population=16, run=tmp_path / "run", **options)
    assert not (tmp_path / "run" / "gallery").exists()
    page = Page((tmp_path / "run" / "report.html").read_text())
    assert not any((a.get("alt") or "").startswith("iteration") for _, a in page.tags)


def test_a_gallery_in_memory_asks_for_no_picture() -> None:
    class Unpictured(Sum):
        def picture(self, sample: Tensor) -> str:
            raise AssertionError("nobody sees it")

    steer(Unpictured(), sphere, queries=32, population=16, gallery=3)


def test_a_rollout_without_pictures_has_a_report(tmp_path: Path) -> None:
    steer(Sum(), sphere, queries=32, population=16, run=tmp_path / "run", gallery=3)
    assert Gallery(tmp_path / "run" / "gallery").course() == {}
    assert "over the course" not in (tmp_path / "run" / "report.html").read_text()


def test_only_pictures_that_load_nothing_reach_the_report(tmp_path: Path) -> None:
    run = tmp_path / "run"
    steer(Pictured(), sphere, queries=16, population=16, run=run, gallery=2)
    evil = [
        "http://evil.example/x.png",
        "javascript:alert(1)",
        'data:image/png;base64,AAAA" onerror="alert(1)',
        "data:text/html;base64,AAAA",
        "data:image/svg+xml,<svg onload=alert(1)>",
        PIXEL + "#http://evil.example",
        PIXEL,
    ]
    (run / "gallery" / "000000.json").write_text(json.dumps(evil))
    text = rewrite_report(RunFolder.existing(run)).read_text()
    page = Page(text)
    check_harmless(page)
    shown = [
        a["src"]
        for tag, a in page.tags
        if tag == "img" and (a.get("alt") or "").startswith("iteration")
    ]
    assert shown == [PIXEL]
    assert "evil" not in text
    assert "alert(1)" not in text


def test_pictures_are_harmless_images(tmp_path: Path) -> None:
    steer(Pictured(), sphere, queries=16, population=16, run=tmp_path / "run", gallery=2)
    for uri in Gallery(tmp_path / "run" / "gallery").course()[0]:
        kind, _, data = uri.partition(",")
        assert kind == "data:image/svg+xml;base64"
        assert base64.b64decode(data).startswith(b"<svg")


def test_a_monitor_takes_no_component_s_place() -> None:
    monitors = {"score": lambda _: -1.0}
    (record,) = steer(Sum(), sphere, queries=4, population=4, monitors=monitors).history
    assert record.components == {"score": pytest.approx(record.mean), "monitor.score": -1.0}


def test_monitors_are_recorded_under_their_names_and_not_steered_by(tmp_path: Path) -> None:
    watched = Watched()
    monitors = {"spread": spread, "count": watched, "undefined": lambda _: math.nan}
    options: dict[str, Any] = {"queries": 96, "population": 16, "seed": 3}
    measured = steer(Sum(), sphere, monitors=monitors, **options)
    plain = steer(Sum(), sphere, **options)
    assert len(watched.seen) == len(measured.history) == 6
    for record, samples in zip(measured.history, watched.seen, strict=True):
        assert record.components["spread"] == spread(samples)
        assert record.components["count"] == 16
        assert math.isnan(record.components["undefined"])
        assert record.mean == pytest.approx(sum(sphere(samples)) / 16)
    assert [r.mean for r in measured.history] == [r.mean for r in plain.history]
    assert measured.config == plain.config


def test_final_samples_are_measured_where_predictions_are_scored_too() -> None:
    watched = Watched()
    options: dict[str, Any] = {"queries": 64, "population": 16, "seed": 3, "score_steps": (0,)}
    steer(Sum(), sphere, monitors={"count": watched}, **options)
    found = steer(Sum(), sphere, **options)
    assert [len(samples) for samples in watched.seen] == [16, 16]
    means = [sum(sphere(samples)) / 16 for samples in watched.seen]
    assert means == pytest.approx([record.mean for record in found.history])


def test_a_resumed_run_measures_and_shows_what_an_unbroken_one_does(tmp_path: Path) -> None:
    options: dict[str, Any] = {
        "population": 16,
        "queries": 64,
        "gallery": 2,
        "monitors": {"spread": spread},
    }
    whole = steer(Pictured(), sphere, run=tmp_path / "whole", **options)
    with Steering(Pictured(), sphere, run=tmp_path / "broken", **options) as steering:
        next(steering)
        next(steering)
    broken = steer(Pictured(), sphere, run=tmp_path / "broken", **options)
    spreads = [record.components["spread"] for record in broken.history]
    assert spreads == [record.components["spread"] for record in whole.history]
    courses = [Gallery(tmp_path / name / "gallery").course() for name in ("broken", "whole")]
    assert courses[0] == courses[1]
    assert len(spreads) == len(courses[0]) == 4
