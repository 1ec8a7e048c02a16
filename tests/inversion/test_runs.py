"""Runs: ``casbo invert`` from pictures to a file, resumed, replayed; bad input in one line."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import casbo
import casbo.cli
import casbo.domains
from casbo.ledger import Ledger
from casbo.objective import SingleComponent
from casbo.steering import Steering
from casbo_inversion import (
    CmaOptimizer,
    DenoisingLoss,
    InversionError,
    LearnedToken,
    MeanToken,
    TokenInversion,
    invert,
)
from casbo_inversion.command import domain
from casbo_inversion.keeping import VALIDATION, Keeping, Replay, keep_token, validated
from casbo_inversion.options import InversionOptions

from . import tiny

IMAGES = [tiny.picture(seed) for seed in range(2)]


@pytest.fixture(autouse=True)
def only_this_domain(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = casbo.domains.LoadedDomains({"inversion": domain})
    monkeypatch.setattr(casbo.cli, "load_domains", lambda: loaded)
    monkeypatch.setattr(casbo.domains, "load_domains", lambda: loaded)


@pytest.fixture
def no_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures take a second to draw."""
    monkeypatch.setattr("casbo.report.write_report", lambda *_: None)


def usual(model: Path, pictures: Path, **options: Any) -> list[str]:
    """The arguments of a small run."""
    stated = {
        "model": model,
        "images": pictures,
        "placeholder": "<thing>",
        "out": "run",
        "queries": 24,
        "population": 4,
        "init": "mean",
        "coordinates": 3,
        "template": "a {}",
        "prompt": "a {}",
        "timesteps": 2,
        "validation": 4,
        "validate-every": 2,
        "steps": 2,
        "device": "cpu",
        **options,
    }
    flags = [f"--{n}" for n, value in stated.items() if value is True]
    return [
        *flags,
        *(f"--{n}={v}" for n, v in stated.items() if v is not None and v is not True),
    ]


def run_command(arguments: list[str]) -> int:
    return casbo.cli.run(["invert", *arguments])


def scores_of(run: Path) -> list[float]:
    ledger = Ledger(run / "ledger.sqlite")
    found = [row["score"] for row in ledger.rows("steering")]
    ledger.close()
    return found


def small_inversion(pipe: Any, **loss: Any) -> TokenInversion:
    objective = DenoisingLoss(**{"templates": ("a {}",), "timesteps": 2, "validation": 4} | loss)
    return TokenInversion(
        pipe, IMAGES, init=MeanToken(), objective=objective, steps=2, prompt="a {}"
    )


# A whole run.


@pytest.fixture(scope="module")
def whole(
    model: Path, pictures: Path, clip: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The folder of a finished run, with everything in it."""
    run = tmp_path_factory.mktemp("runs") / "whole"
    arguments = usual(model, pictures, out=run, init="attention", clip=clip, gallery=1)
    with pytest.MonkeyPatch.context() as patch:
        loaded = casbo.domains.LoadedDomains({"inversion": domain})
        patch.setattr(casbo.cli, "load_domains", lambda: loaded)
        assert run_command(arguments) == 0
    return run


def test_a_run_leaves_token_summary_grid_and_report(whole: Path, model: Path) -> None:
    from diffusers import StableDiffusionPipeline
    from PIL import Image

    token = LearnedToken.load(whole / "learned_embeds.safetensors")
    assert token.placeholder == "<thing>"
    summary = json.loads((whole / "inversion.json").read_text())
    assert summary["token"] == token.digest
    assert {word for word, _ in summary["words"]} <= set(tiny.WORDS)
    assert min(summary["validation"].values()) == summary["validation"][summary["origin"]]
    # 6 iterations of 4 candidates and the start, 2 passes each; 3 validations and the finalists
    checks = 3 + len(summary["validation"])
    assert summary["forward_passes"] == 6 * 5 * 2 + checks * 4
    width, height = Image.open(whole / "grid.png").size
    assert (width, height) == (4 * 16 + 3 * 2, 3 * 16 + 2 * 2)
    report = (whole / "report.html").read_text()
    assert all(word in report for word, _ in summary["words"])
    assert "data:image/png" in report
    pipe = StableDiffusionPipeline.from_pretrained(model)
    pipe.load_textual_inversion(str(whole / "learned_embeds.safetensors"))
    assert "<thing>" in pipe.tokenizer.get_vocab()


def test_report_and_sample_of_a_run(whole: Path) -> None:
    assert casbo.cli.run(["report", str(whole)]) == 0
    assert casbo.cli.run(["sample", str(whole), "-n", "2"]) == 0
    folder = whole / "samples" / "seed-1"
    one, two = (LearnedToken.load(folder / f"00{n}.safetensors") for n in (0, 1))
    assert one.digest != two.digest


@pytest.mark.parametrize("optimizer", ["casbo", pytest.param("cma", marks=pytest.mark.slow)])
def test_a_resumed_run_is_the_unbroken_one(
    optimizer: str,
    model: Path,
    pictures: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    no_report: None,
) -> None:
    one, two = tmp_path / f"{optimizer}-one", tmp_path / f"{optimizer}-two"
    assert run_command(usual(model, pictures, out=one, optimizer=optimizer)) == 0

    original = Steering._iterate

    def killed(self: Steering, original: Any = original, limit: int = 3) -> Any:
        if self.optimizer.iteration == limit:
            raise KeyboardInterrupt
        return original(self)

    with monkeypatch.context() as patch:
        patch.setattr(Steering, "_iterate", killed)
        assert run_command(usual(model, pictures, out=two, optimizer=optimizer)) == 130
    assert not (two / "learned_embeds.safetensors").exists()
    assert casbo.cli.run(["resume", str(two)]) == 0
    assert scores_of(two) == scores_of(one)
    files = ("learned_embeds.safetensors", "inversion.json", "grid.png")
    assert all((one / f).read_bytes() == (two / f).read_bytes() for f in files)


def test_the_published_procedure_is_one_flag(
    model: Path, pictures: Path, clip: Path, tmp_path: Path, no_report: None
) -> None:
    run = tmp_path / "run"
    stated = {"init": "attention", "clip": clip, "population": None, "queries": 60}
    assert run_command(usual(model, pictures, out=run, published=True, **stated)) == 0
    config = json.loads((run / "config.json").read_text())
    assert config["population"] == 20
    assert config["rollout"]["subspace"]["published"] is True
    assert config["rollout"]["init"]["temperature"] is None
    assert config["scorer"]["common"] == "none"
    summary = json.loads((run / "inversion.json").read_text())
    assert summary["origin"] == "best of iteration 3"
    assert summary["forward_passes"] == 60 * 2 + 4
    last = scores_of(run)[40:]
    ledger = Ledger(run / "ledger.sqlite")
    named = [row["sample"] for row in ledger.rows("steering")][40:]
    ledger.close()
    assert summary["token"] == named[int(np.argmin(last))]


# Keeping.


def test_a_replay_finds_the_means_and_populations_of_the_run(pipe: Any) -> None:
    inversion = small_inversion(pipe)
    means, noises = [], []
    with Steering(inversion, inversion.objective, queries=24, population=4, seed=3) as steering:
        while not steering.done:
            means.append(inversion.mean_token(steering.controls).digest)
            noises.append(steering.optimizer.ask())
            next(steering)
        replay = Replay(steering.result().config, steering.ledger)
        for number, (optimizer, scores) in enumerate(replay.course()):
            assert inversion.mean_token(optimizer.controls).digest == means[number]
            assert torch.equal(optimizer.ask(), noises[number])
            assert len(scores) == 4


def test_the_best_of_the_validated_is_kept(pipe: Any) -> None:
    inversion = small_inversion(pipe)
    learned = invert(inversion, queries=48, population=4, keeping=Keeping(elites=2))
    assert "start" in learned.validation
    assert {"candidate 1", "candidate 2"} <= set(learned.validation)
    assert learned.validation[learned.origin] == min(learned.validation.values())
    (again,) = validated([learned.token], inversion.objective, SingleComponent())
    assert again == pytest.approx(learned.validation[learned.origin], rel=1e-5)
    course = [r.components[VALIDATION] for r in learned.result.history]
    assert [np.isfinite(value) for value in course] == [n % 5 == 0 for n in range(12)]
    (start,) = validated([inversion.start_token], inversion.objective, SingleComponent())
    assert course[0] == pytest.approx(start, rel=1e-5)


def test_a_loss_that_tokens_can_lower_is_lowered(pipe: Any) -> None:
    """Learning on one picture and one set of random numbers is plain minimisation."""
    inversion = small_inversion(pipe, common="run")
    for optimizer in (None, CmaOptimizer):
        learned = invert(inversion, queries=200, population=10, optimizer=optimizer)
        first, last = learned.result.history[0].mean, learned.result.history[-1].mean
        assert last < min(first, 0)


@given(st.integers(2, 9), st.integers(3, 12), st.integers(0, 2**31), st.integers(0, 5))
@settings(max_examples=20)
def test_pycma_goes_on_from_its_state(dim: int, population: int, seed: int, told: int) -> None:
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    optimizer = CmaOptimizer(1, dim, population, seed, "maximize")
    for _ in range(told):
        scores = -(optimizer.ask()[:, 0] - 1).square().sum(-1)
        scores[0] = float("nan")
        optimizer.tell(scores)
    other = CmaOptimizer(1, dim, population, seed, "maximize")
    other.load_state_dict(optimizer.state_dict())
    assert torch.equal(other.ask(), optimizer.ask())
    assert torch.equal(other.controls.mean, optimizer.controls.mean)
    assert (np.random.get_state()[1] == before).all()  # noqa: NPY002


def test_pycma_minimises_and_knows_its_distribution() -> None:
    optimizer = CmaOptimizer(1, 4, 12, seed=1)
    for _ in range(60):
        optimizer.tell((optimizer.ask()[:, 0] - 2).square().sum(-1))
    assert torch.allclose(optimizer.controls.mean, torch.full((1, 4), 2.0).double(), atol=1e-3)
    fresh = CmaOptimizer(1, 4, 2000, seed=1)
    assert torch.allclose(fresh.controls.covariance.dense()[0], torch.eye(4).double(), atol=1e-3)
    spread = torch.cov(fresh.ask()[:, 0].T)
    assert torch.allclose(spread, torch.eye(4).double(), atol=6 * (2 / 2000) ** 0.5)
    fresh.tell(torch.full((2000,), float("nan")))  # all failed: nothing is learned
    assert not fresh.controls.mean.any()


def test_pycma_refuses_what_it_cannot_do() -> None:
    for arguments in ((2, 4, 8), (1, 1, 8), (1, 4, 2)):
        with pytest.raises(InversionError):
            CmaOptimizer(*arguments)
    with pytest.raises(InversionError):
        CmaOptimizer(1, 4, 8, rule="paper")
    optimizer = CmaOptimizer(1, 4, 8)
    with pytest.raises(InversionError, match="ask"):
        optimizer.tell([0.0] * 8)
    with pytest.raises(InversionError, match="options"):
        CmaOptimizer(1, 4, 8, seed=1).load_state_dict(optimizer.state_dict())


# Bad input: one line, no folder.


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"images": "empty"}, "got none"),
        ({"images": "nowhere"}, "folder of pictures"),
        ({"images": "broken"}, "reading it failed"),
        ({"placeholder": "cab"}, "vocabulary already"),
        ({"placeholder": "two words"}, "one word"),
        ({"model": "./nowhere"}, "diffusers pipeline"),
        ({"model": "mute"}, "text encoder"),
        ({"init": "attention"}, "CLIP"),
        ({"init": "attention", "clip": "./nowhere"}, "CLIPModel"),
        ({"init": "attention", "clip": "CLIP", "vocabulary": "nowhere"}, "one word a line"),
        ({"init": "漢"}, "spell"),
        ({"subspace": "other"}, "pca, random"),
        ({"subspace": "nowhere.npy"}, "matrix"),
        ({"coordinates": 9}, "from 1 to 8"),
        ({"objective": "other"}, "denoising and clip"),
        ({"objective": "clip"}, "CLIP"),
        ({"optimizer": "other"}, "casbo and cma"),
        ({"keep": "all"}, "keep"),
        ({"common": "some"}, "common"),
        ({"template": "a thing"}, "templates"),
        ({"timesteps": 0}, "timesteps"),
        ({"vectors": 0}, "vector"),
        ({"width": 16}, "both or neither"),
        ({"dtype": "float8"}, "dtype"),
        ({"device": "toaster"}, "device"),
        ({"population": 3}, "population"),
        ({"queries": 2}, "queries"),
    ],
    ids=str,
)
def test_bad_input_is_answered_in_one_line(
    changed: dict[str, Any],
    said: str,
    model: Path,
    pictures: Path,
    clip: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    Path("broken").mkdir()
    Path("broken", "picture.png").write_bytes(b"no picture")
    if changed.get("model") == "mute":
        tiny.mute().save_pretrained("mute")
    changed = {k: clip if v == "CLIP" else v for k, v in changed.items()}
    assert run_command(usual(**{"model": model, "pictures": pictures} | changed)) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("casbo:")]
    assert len(lines) == 1
    assert re.search(said, lines[0]), lines[0]
    assert not Path("run").exists()


def test_options_come_back_from_json_with_full_paths(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("clip").mkdir()
    options = InversionOptions("hub/model", "here", clip="clip", templates=("a {}",))
    full = options.with_full_paths()
    assert (full.model, full.images, full.clip) == (
        "hub/model",
        str(tmp_path / "here"),
        str(tmp_path / "clip"),
    )
    assert InversionOptions.from_json(json.loads(json.dumps(full.to_json()))) == full


def test_a_finished_token_is_kept_again_the_same(pipe: Any, tmp_path: Path) -> None:
    inversion = small_inversion(pipe)
    with Steering(inversion, inversion.objective, queries=16, population=4) as steering:
        for _ in steering:
            pass
        first = keep_token(steering.result(), steering.ledger, Keeping())
        second = keep_token(steering.result(), steering.ledger, Keeping())
    assert first.token.digest == second.token.digest
    assert first.validation == second.validation
