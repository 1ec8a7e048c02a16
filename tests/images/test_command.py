"""``casbo images``: real files for good input, one line and no folder for bad input."""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from running.test_report import EVIL, Page, check_harmless

import casbo
import casbo.cli
import casbo.domains
from casbo.gallery import Gallery
from casbo.ledger import Ledger
from casbo_images import ClipScore, Diversity, ImageError
from casbo_images.command import domain
from casbo_images.image_run import image_rollout
from casbo_images.options import ImageOptions, read_settings
from casbo_images.pictures import image_digest, read_image
from casbo_images.scores import Brightness, JpegSize

from . import tiny_pipelines as tiny
from .test_http_scores import lights, serving

Settings = Mapping[str, Any]


@pytest.fixture(autouse=True)
def only_this_domain(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = casbo.domains.LoadedDomains({"images": domain})
    monkeypatch.setattr(casbo.cli, "load_domains", lambda: loaded)
    monkeypatch.setattr(casbo.domains, "load_domains", lambda: loaded)
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def no_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures take a second to draw."""
    monkeypatch.setattr("casbo.report.write_report", lambda *_: None)


@pytest.fixture
def usual(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The settings of a small run that needs no CLIP; the working folder is empty."""
    monkeypatch.chdir(tmp_path)
    return {**TINY, "model": str(model), "score": ["brightness"], "out": "run"}


TINY = {
    "prompt": "a cab",
    "steps": 2,
    "queries": 8,
    "population": 4,
    "coefficients": 2,
    "device": "cpu",
}


def arguments(settings: Settings) -> list[str]:
    """Settings as the command line writes them."""
    rows = {
        name: value if isinstance(value, list) else [value] for name, value in settings.items()
    }
    return [f"--{n.replace('_', '-')}={value}" for n, row in rows.items() for value in row]


def images(settings: Settings) -> int:
    return casbo.cli.run(["images", *arguments(settings)])


def toml(settings: Settings) -> str:
    """Settings as a TOML file."""
    return "".join(
        f"{name} = {json.dumps(value, ensure_ascii=False)}\n" for name, value in settings.items()
    ).replace("\x7f", "\\u007f")


def options_of(run: Path) -> dict[str, Any]:
    return dict(config_of(run)["domain"]["options"])


def config_of(run: Path) -> dict[str, Any]:
    return dict(json.loads((run / "config.json").read_text()))


def rows(run: Path, kind: Any = "steering") -> list[dict[str, Any]]:
    ledger = Ledger(run / "ledger.sqlite")
    found = list(ledger.rows(kind))
    ledger.close()
    return found


def records(run: Path) -> list[dict[str, Any]]:
    ledger = Ledger(run / "ledger.sqlite")
    found = ledger.iterations()
    ledger.close()
    return found


def shown(run: Path) -> list[list[Image.Image]]:
    """The pictures of every iteration: as large as these are, PNG files, so without loss."""
    course = Gallery(run / "gallery").course()
    return [
        [
            Image.open(io.BytesIO(base64.b64decode(uri.partition("base64,")[2]))).convert("RGB")
            for uri in uris
        ]
        for uris in course.values()
    ]


# A whole run, with everything in it.


@pytest.fixture(scope="module")
def whole(
    model: Path, tiny_clip: Path, other_clip: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Path, str]]:
    """The folder of a run and what the command printed."""
    run = tmp_path_factory.mktemp("runs") / "whole"
    settings = {
        **TINY,
        "model": model,
        "clip": tiny_clip,
        "target": "ab",
        "score": ["clip", "jpeg=-0.01"],
        "heldout": "clip",
        "heldout_clip": other_clip,
        "queries": 12,
        "out": run,
    }
    with pytest.MonkeyPatch.context() as patch, io.StringIO() as printed:
        loaded = casbo.domains.LoadedDomains({"images": domain})
        patch.setattr(casbo.cli, "load_domains", lambda: loaded)
        patch.setattr("sys.stdout", printed)
        assert images(settings) == 0
        yield run, printed.getvalue()


def test_every_file_it_promises_is_there(whole: tuple[Path, str]) -> None:
    run, printed = whole
    for name in ("best.png", "comparison.png", "samples", "report.html"):
        assert str(run / name) in printed
        assert (run / name).exists()
    samples = sorted((run / "samples").glob("[0-9]*.png"))
    assert len(samples) == 12
    assert {read_image(path).size for path in samples} == {(16, 16)}
    assert read_image(samples[0]).tobytes() == read_image(run / "best.png").tobytes()
    scores = [row["scores"] for row in json.loads((run / "samples" / "scores.json").read_text())]
    ordered = sorted((row["score"] for row in scores), reverse=True)
    assert [row["score"] for row in scores] == ordered
    first = re.search(r"^1\. .*score (\S+)$", printed, re.MULTILINE)
    assert first
    assert float(first[1]) == pytest.approx(ordered[0], rel=1e-3)


def test_the_comparison_is_plain_above_and_steered_below(whole: tuple[Path, str]) -> None:
    run, _ = whole
    from casbo.evaluation import plain_noise

    rollout = image_rollout(ImageOptions.from_json(options_of(run)))
    learned = casbo.Controls.load(run / "controls.safetensors")
    rows_ = [plain_noise(8, rollout.shape, 1), learned.noise(8, 1)]
    picture = np.asarray(read_image(run / "comparison.png"))
    assert picture.shape == (2 * 16 + 2, 8 * 16 + 7 * 2, 3)
    for row, noise in enumerate(rows_):
        for column, image in enumerate(rollout(noise).samples):
            top, left = 18 * row, 18 * column
            cell = picture[top : top + 16, left : left + 16].astype(int)
            assert np.abs(cell - np.asarray(image)).max() <= 1


def test_the_ledger_holds_what_each_score_says_of_each_picture(
    whole: tuple[Path, str], tiny_clip: Path
) -> None:
    run, _ = whole
    pictures = [picture for iteration in shown(run) for picture in iteration]
    found = rows(run)
    assert len(found) == len(pictures) == 12
    assert [row["sample"] for row in found] == [image_digest(picture) for picture in pictures]
    assert [row["components"]["clip"] for row in found] == pytest.approx(
        ClipScore("ab", tiny_clip)(pictures), abs=1e-6
    )
    assert [row["components"]["jpeg"] for row in found] == JpegSize()(pictures)
    assert [row["score"] for row in found] == pytest.approx(
        [row["components"]["clip"] - 0.01 * row["components"]["jpeg"] for row in found]
    )
    assert config_of(run)["direction"] == "maximize"


def test_records_hold_diversity_and_what_is_held_out(
    whole: tuple[Path, str], tiny_clip: Path, other_clip: Path
) -> None:
    run, _ = whole
    heldout, diversity = ClipScore("ab", other_clip), Diversity(tiny_clip)
    found = [record["components"] for record in records(run)]
    assert len(found) == 3
    for components, pictures in zip(found, shown(run), strict=True):
        assert components["diversity"] == pytest.approx(diversity(pictures), abs=1e-6)
        assert components["heldout.score"] == pytest.approx(np.mean(heldout(pictures)), abs=1e-6)


def test_the_report_shows_the_course_and_loads_nothing(whole: tuple[Path, str]) -> None:
    run, _ = whole
    page = Page((run / "report.html").read_text())
    check_harmless(page)
    names = [attributes.get("alt") for tag, attributes in page.tags if tag == "img"]
    assert {"diversity", "heldout.score", "clip", "jpeg", "sample 1"} <= set(names)
    for iteration in (1, 2, 3):
        assert [n for n in names if (n or "").startswith(f"iteration {iteration},")] == [
            f"iteration {iteration}, candidate {number}" for number in (1, 2, 3, 4)
        ]


def test_the_report_can_be_written_anew(
    whole: tuple[Path, str], capsys: pytest.CaptureFixture[str]
) -> None:
    run, _ = whole
    before = (run / "report.html").read_bytes()
    assert casbo.cli.run(["report", str(run)]) == 0
    assert capsys.readouterr().out.strip() == str(run / "report.html")
    assert (run / "report.html").read_bytes() == before


# Going on.


@pytest.mark.usefixtures("no_report")
def test_a_run_that_goes_on_is_the_unbroken_one(
    whole: tuple[Path, str],
    usual: dict[str, Any],
    tiny_clip: Path,
    other_clip: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run, _ = whole
    settings = {
        **usual,
        "clip": tiny_clip,
        "target": "ab",
        "score": ["clip", "jpeg=-0.01"],
        "heldout": "clip",
        "heldout_clip": other_clip,
        "queries": 4,
    }
    part = Path("run")
    assert images(settings) == 0
    assert casbo.cli.run(["resume", str(part), "--queries", "12"]) == 0
    assert rows(part) == rows(run)
    assert rows(part, "heldout") == rows(run, "heldout")
    measured = [[r["components"] for r in records(one)] for one in (part, run)]
    assert measured[0] == measured[1]
    for name in ("controls.safetensors", "best.png", "comparison.png", "samples/grid.png"):
        assert (part / name).read_bytes() == (run / name).read_bytes(), name

    capsys.readouterr()
    assert casbo.cli.run(["sample", str(part), "-n", "3", "--out", "more"]) == 0
    written = [Path(line) for line in capsys.readouterr().out.splitlines()]
    assert [path.name for path in written[:3]] == ["000.png", "001.png", "002.png"]
    rollout = image_rollout(ImageOptions.from_json(options_of(part)))
    learned = casbo.Controls.load(part / "controls.safetensors")
    for path, image in zip(written, rollout(learned.noise(3, 1)).samples, strict=False):
        assert read_image(path).tobytes() == image.tobytes()
    assert rows(part) == rows(run)


@pytest.mark.usefixtures("no_report")
def test_the_same_command_again_asks_nothing_more(usual: dict[str, Any]) -> None:
    assert images(usual) == 0
    before = rows(Path("run"))
    assert images(usual) == 0
    assert rows(Path("run")) == before
    assert len(before) == 8
    assert [row["attempts"] for row in before] == [1] * 8


@pytest.mark.usefixtures("no_report")
def test_a_run_goes_on_from_another_place(
    usual: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Models and pictures named by a path are found again."""
    Path("model").symlink_to(usual["model"])
    tiny.picture().save("start.png")
    assert images({**usual, "model": "model", "image": "start.png", "queries": 4}) == 0
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert casbo.cli.run(["resume", "../run", "--queries", "8"]) == 0
    assert len(rows(tmp_path / "run")) == 8


# Settings.


@pytest.mark.usefixtures("no_report")
def test_a_file_of_settings_is_the_same_as_the_command_line(usual: dict[str, Any]) -> None:
    more = {**usual, "score": ["brightness=2", "jpeg=-1"], "guidance_scale": 3, "seed": 7}
    Path("run.toml").write_text(toml({**more, "out": "file"}))
    assert casbo.cli.run(["images", "--config=run.toml"]) == 0
    assert images(more) == 0
    assert config_of(Path("file")) == config_of(Path("run"))
    assert rows(Path("file")) == rows(Path("run"))


@pytest.mark.usefixtures("no_report")
def test_the_command_line_wins(usual: dict[str, Any]) -> None:
    file = {**usual, "steps": 3, "queries": 100, "score": ["contrast"], "prompt": "ab"}
    Path("run.toml").write_text(toml({**file, "gallery": 1, "score_steps": [0]}))
    stated = {"config": "run.toml", "steps": 2, "queries": 8, "score": "jpeg", "seed": 1}
    assert images(stated) == 0
    made = options_of(Path("run"))
    assert (made["steps"], made["score"], made["prompt"]) == (2, ["jpeg"], "ab")
    assert (made["gallery"], made["score_steps"]) == (1, [0])
    assert config_of(Path("run"))["queries"] == 8
    assert len(rows(Path("run"))) == 8
    assert {len(pictures) for pictures in shown(Path("run"))} == {1}


BAD_FILES = {
    "not there": (None, "run.toml"),
    "not TOML": ("prompt = ", "run.toml"),
    "not UTF-8": (b"prompt = '\xff'", "run.toml"),
    "too deep": ("score = " + "[" * 9999, "run.toml"),
    "unknown": ("colr = 1", "'colr'"),
    "a file in a file": ("config = 'other.toml'", "'config'"),
    "a table": ("[images]\nsteps = 2", "'images'"),
    "text for a number": ("steps = 'many'", "steps to be a whole number"),
    "half a step": ("steps = 2.5", "steps to be a whole number"),
    "a truth value": ("seed = true", "seed to be a whole number"),
    "a number for text": ("target = 3", "target to be a text"),
    "a number for a picture": ("image = 3", "image to be a text"),
    "a number for a score": ("score = [1]", "score"),
    "text for a colour": ("colour = ['red', 1, 2]", "colour"),
    "half a colour": ("colour = [1, 2]", "colour"),
    "endless": ("guidance_scale = inf", "guidance_scale to be a finite number"),
    "no number": ("scale = nan", "scale to be a finite number"),
    "a date": ("target = 2020-01-01", "target to be a text"),
    "options": ("scheduler_options = 3", "scheduler_options"),
    "unknown option": ("scheduler_options = {zeta = 1}", "zeta"),
    "a score step": ("score_steps = [7]", "score_steps"),
    "NUL in a picture": ('image = "a\\u0000b"', "picture"),
    "NUL in a model": ('model = "a\\u0000b"', "pipeline"),
    "NUL in a folder": ('out = "a\\u0000b"', "path of a folder"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_a_bad_file_of_settings_is_one_line(
    case: str, usual: dict[str, Any], capfd: pytest.CaptureFixture[str]
) -> None:
    text, words = BAD_FILES[case]
    if text is not None:
        own = re.findall(r"^\w+", str(text))
        known = toml({name: v for name, v in usual.items() if name not in own})
        content = text if isinstance(text, bytes) else (known + text).encode()
        if "colour" in own:
            content = content.replace(b"brightness", b"colour")
        Path("run.toml").write_bytes(content)
    assert_refused(["--config=run.toml"], words, capfd)


def assert_refused(
    given: list[str], words: str, capfd: pytest.CaptureFixture[str], *, code: int = 2
) -> None:
    """One line with these words, and no folder."""
    assert casbo.cli.run(["images", *given]) == code
    printed = capfd.readouterr()
    (line,) = printed.err.strip().splitlines()
    assert line.startswith("casbo: ")
    assert words in line
    assert len(line) < 1200
    assert printed.out == ""
    assert not Path("run").exists()


#: Case -> settings that differ from the usual ones (None: left out), and words of the message.
BAD: dict[str, tuple[dict[str, Any], str]] = {
    "no prompt": ({"prompt": None}, "--prompt"),
    "empty prompt": ({"prompt": ""}, "--prompt"),
    "no folder": ({"out": None}, "--out"),
    "unknown score": ({"score": "beauty"}, "'beauty'"),
    "a score twice": ({"score": ["jpeg", "jpeg=2"]}, "each once"),
    "a weight that is none": ({"score": "jpeg=much"}, "NAME=WEIGHT"),
    "no target": ({"score": "clip", "clip": "CLIP"}, "target"),
    "two targets": (
        {"score": "clip", "clip": "CLIP", "target": "ab", "target_image": "start.png"},
        "not both",
    ),
    "empty target": ({"score": "clip", "clip": "CLIP", "target": " "}, "empty text"),
    "no target picture": (
        {"score": "clip", "clip": "CLIP", "target_image": "absent.png"},
        "absent.png",
    ),
    "no picture": ({"image": "absent.png"}, "absent.png"),
    "text as a picture": ({"image": "text.png"}, "text.png"),
    "a folder as a picture": ({"image": "empty"}, "empty"),
    "no mask": ({"image": "start.png", "mask": "absent.png"}, "absent.png"),
    "a mask alone": ({"mask": "start.png"}, "mask alone"),
    "strength alone": ({"strength": 0.5}, "strength"),
    "too much strength": ({"image": "start.png", "strength": 2}, "strength"),
    "strength that is none": ({"image": "start.png", "strength": "nan"}, "strength"),
    "no head": ({"score": "aesthetic", "clip": "CLIP"}, "aesthetic_head"),
    "no such head": (
        {"score": "aesthetic", "clip": "CLIP", "aesthetic_head": "absent.pth"},
        "absent.pth",
    ),
    "no colour": ({"score": "colour"}, "colour"),
    "half a colour": ({"score": "colour", "colour": "1,2"}, "three numbers"),
    "too red": ({"score": "colour", "colour": "256,0,0"}, "0..255"),
    "no address": ({"score": "http"}, "url"),
    "no such address": ({"score": "http", "url": "host"}, "http://host"),
    "credentials": ({"score": "http", "url": "http://me:s3cret@host/"}, "credentials"),
    "no key": ({"score": "http", "url": "http://host/?k=$CASBO_ABSENT"}, "environment"),
    "no question": ({"score": "vlm", "vlm": "m"}, "question"),
    "no caption": ({"score": "scenes"}, "target"),
    "held-out clip": (
        {"score": "clip", "clip": "CLIP", "target": "ab", "heldout": "clip"},
        "heldout_clip",
    ),
    "unknown held-out": ({"heldout": "beauty"}, "'beauty'"),
    "direction": ({"direction": "up"}, "'up'"),
    "direction of a sum": ({"score": "jpeg=1", "direction": "up"}, "'up'"),
    "scheduler": ({"scheduler": "euler_forwards"}, "euler_forwards"),
    "space": ({"space": "time"}, "'time'"),
    "dtype": ({"dtype": "int8"}, "'int8'"),
    "offload": ({"offload": "disk"}, "'disk'"),
    "offload to the CPU": ({"offload": "model"}, "offload"),
    "device": ({"device": "abacus"}, "abacus"),
    "rows": ({"steered": "middle"}, "'middle'"),
    "negative steps": ({"steps": -1}, "steps"),
    "no steps": ({"steps": 0}, "steps"),
    "no micro-batch": ({"microbatch": 0}, "microbatch"),
    "too few queries": ({"queries": 3}, "4 queries"),
    "negative queries": ({"queries": -5}, "4 queries"),
    "population of one": ({"population": 1}, "population"),
    "odd population": ({"population": 5}, "population"),
    "negative seed": ({"seed": -1}, "seed"),
    "negative workers": ({"workers": -1}, "workers"),
    "deadline alone": ({"deadline": 5}, "workers"),
    "too many coefficients": ({"coefficients": 65}, "64"),
    "no coefficients": ({"coefficients": 0}, "64"),
    "scale": ({"scale": "inf"}, "scale"),
    "height alone": ({"height": 16}, "both or neither"),
    "negative size": ({"height": -16, "width": -16}, "got (-16, -16)"),
    "odd size": ({"height": 17, "width": 17}, "17"),
    "no strength": ({"image": "start.png", "strength": 0.01}, "at least one"),
    "negative strength": ({"image": "start.png", "strength": -1}, "at least one"),
    "no model": ({"model": "EMPTY/absent"}, "absent"),
    "empty model": ({"model": "EMPTY"}, "model_index.json"),
    "CLIP as a model": ({"model": "CLIP"}, "pipeline"),
    "no CLIP": ({"score": "clip", "clip": "EMPTY/absent", "target": "ab"}, "absent"),
    "empty CLIP": ({"score": "clip", "clip": "EMPTY", "target": "ab"}, "loaded"),
    "empty CLIP for diversity": ({"clip": "EMPTY"}, "loaded"),
    "a pipeline as CLIP": ({"score": "clip", "clip": "MODEL", "target": "ab"}, "loaded"),
    "a file as the folder": ({"out": "text.png"}, "text.png"),
    "below a file": ({"out": "text.png/run"}, "text.png"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line(
    case: str, usual: dict[str, Any], tiny_clip: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    tiny.picture().save("start.png")
    Path("text.png").write_text("no picture")
    Path("empty").mkdir()
    changed, words = BAD[case]
    places = {"CLIP": str(tiny_clip), "MODEL": usual["model"], "EMPTY": str(Path.cwd() / "empty")}
    settings = {}
    for name, value in {**usual, **changed}.items():
        text = re.sub("CLIP|MODEL|EMPTY", lambda m: places[m[0]], str(value))
        settings[name] = text if isinstance(value, str) else value
    given = arguments({name: value for name, value in settings.items() if value is not None})
    before = sorted(Path.cwd().rglob("*"))
    assert_refused(given, words, capfd)
    assert sorted(Path.cwd().rglob("*")) == before


def test_a_foreign_folder_is_left_alone(
    usual: dict[str, Any], capfd: pytest.CaptureFixture[str]
) -> None:
    folder = Path("mine")
    folder.mkdir()
    (folder / "thesis.txt").write_text("years of work")
    assert_refused(arguments({**usual, "out": "mine"}), "Choose another folder", capfd)
    assert {path.name for path in folder.iterdir()} <= {"thesis.txt", "lock"}


@pytest.mark.usefixtures("no_report")
def test_another_run_is_left_alone(
    usual: dict[str, Any], capfd: pytest.CaptureFixture[str]
) -> None:
    assert images(usual) == 0
    before = config_of(Path("run"))
    capfd.readouterr()
    assert images({**usual, "prompt": "ab"}) == 2
    (line,) = capfd.readouterr().err.strip().splitlines()
    assert "rollout" in line
    assert config_of(Path("run")) == before


def test_words_of_a_user_are_shown_and_never_a_path(usual: dict[str, Any]) -> None:
    prompt = f"{EVIL} ../../../etc \x00 end"
    Path("run.toml").write_text(toml({**usual, "prompt": prompt, "negative_prompt": "../<b>"}))
    before = set(Path.cwd().rglob("*"))
    assert casbo.cli.run(["images", "--config=run.toml"]) == 0
    run = Path.cwd() / "run"
    new = set(Path.cwd().rglob("*")) - before
    assert all(run in [path, *path.parents] for path in new)
    assert not [path for path in new if re.search(r"alert|etc|end|[<>]", path.name)]
    assert options_of(run)["prompt"] == prompt
    page = Page((run / "report.html").read_text())
    check_harmless(page)
    assert "<script>alert(1)</script>" in "".join(page.texts)


# Pictures to start from, few candidates, the noise of some steps.


@pytest.mark.usefixtures("no_report")
@pytest.mark.parametrize("masked", [False, True])
def test_a_picture_to_start_from(usual: dict[str, Any], masked: bool) -> None:
    tiny.picture(5).save("start.png")
    tiny.mask().save("mask.png")
    given = {"image": "start.png", "strength": 0.9, **({"mask": "mask.png"} if masked else {})}
    assert images({**usual, **given, "steps": 3, "queries": 4}) == 0
    described = config_of(Path("run"))["rollout"]
    kind = "StableDiffusionInpaintPipeline" if masked else "StableDiffusionImg2ImgPipeline"
    assert described["pipeline"] == kind
    inputs = described["inputs"]
    assert inputs["image"] == image_digest(read_image("start.png"))
    assert inputs["strength"] == 0.9
    assert ("mask_image" in inputs) == masked
    if masked:
        assert inputs["mask_image"] == image_digest(read_image("mask.png"))
    found = rows(Path("run"))
    assert [r["score"] for r in found] == pytest.approx(Brightness()(shown(Path("run"))[0]))


@pytest.mark.usefixtures("no_report")
def test_two_candidates_and_a_held_out_score(usual: dict[str, Any]) -> None:
    assert images({**usual, "population": 2, "queries": 4, "heldout": "contrast"}) == 0
    assert len(rows(Path("run"), "heldout")) == 4
    assert casbo.cli.run(["resume", "run", "--queries", "6"]) == 0
    assert len(rows(Path("run"), "heldout")) == 6


@pytest.mark.usefixtures("no_report")
@pytest.mark.parametrize(
    ("changed", "K", "space"),
    [
        ({}, 3, "Separable"),
        ({"steered": "start"}, 1, "Separable"),
        ({"space": "per_step"}, 3, "PerStep"),
        ({"scheduler": "ddpm", "steps": 3}, 3, "Separable"),
    ],
)
def test_the_noise_that_is_steered(
    usual: dict[str, Any], changed: dict[str, Any], K: int, space: str
) -> None:
    assert images({**usual, **changed, "queries": 4}) == 0
    assert config_of(Path("run"))["shape"] == [K, 4 * tiny.LATENT**2]
    assert config_of(Path("run"))["space"]["kind"] == space


# A service.


@pytest.mark.usefixtures("no_report")
def test_a_service_scores_and_its_key_is_nowhere_written(
    usual: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    secrets = {"CASBO_TEST_KEY": "s3cret-of-the-service", "OPENAI_API_KEY": "sk-s3cret-of-openai"}
    for name, value in secrets.items():
        monkeypatch.setenv(name, value)
    with serving(lambda body: {"scores": lights(body)}) as server:
        url = f"{server.url}?key=$CASBO_TEST_KEY"
        secret = {"header": "Authorization: Bearer $OPENAI_API_KEY"}
        assert images({**usual, "score": "http", "url": url, **secret, "queries": 4}) == 0
        assert casbo.cli.run(["resume", "run", "--queries", "8"]) == 0
        asked = [image for _, body in server.requests for image in body["images"]]
        sent = {headers["authorization"] for headers, _ in server.requests}
    assert sent == {f"Bearer {secrets['OPENAI_API_KEY']}"}
    assert len(asked) == 8
    found = rows(Path("run"))
    pictures = [picture for iteration in shown(Path("run")) for picture in iteration]
    assert [row["score"] for row in found] == pytest.approx(Brightness()(pictures))
    assert options_of(Path("run"))["url"] == url
    for path in Path("run").rglob("*"):
        if path.is_file():
            assert not [s for s in secrets.values() if s.encode() in path.read_bytes()], path


# The settings themselves.


def test_an_api_key_has_no_option() -> None:
    assert not [name for name in ImageOptions("x").to_json() if re.search("key|token|pass", name)]


@given(
    stated=st.fixed_dictionaries({"prompt": st.text(min_size=1), "out": st.just("run")}),
    more=st.fixed_dictionaries(
        {},
        optional={
            "steps": st.integers(),
            "guidance_scale": st.integers() | st.floats(allow_nan=False, allow_infinity=False),
            "score": st.lists(st.text(), min_size=1),
            "colour": st.lists(st.integers(), min_size=3, max_size=3),
            "target": st.text(),
            "score_steps": st.lists(st.integers()),
            "queries": st.integers(),
            "deadline": st.floats(0, 1e9),
        },
    ),
)
def test_settings_are_taken_as_given_and_survive_json(
    stated: dict[str, Any], more: dict[str, Any]
) -> None:
    settings = read_settings({**stated, **more})
    written = json.loads(json.dumps(settings.options.to_json(), allow_nan=False))
    assert ImageOptions.from_json(written) == settings.options
    for name, value in {**written, **settings.running}.items():
        default = {"queries": 640, "seed": 1}.get(name, ImageOptions("x").to_json().get(name))
        assert value == {**stated, **more}.get(name, default)


def test_one_score_needs_no_list() -> None:
    settings = read_settings({"prompt": "x", "out": "run", "score": "jpeg"})
    assert settings.options.score == ("jpeg",)


@pytest.mark.parametrize("given_", [{}, {"out": "run"}, {"prompt": "x"}])
def test_prompt_and_folder_are_needed(given_: dict[str, Any]) -> None:
    with pytest.raises(ImageError, match="--config file; got none"):
        read_settings(given_)
