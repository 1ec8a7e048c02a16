"""Gain against drift: what the scores claim about plain noise, and the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from benchmarks.large_dimension.__main__ import main
from benchmarks.large_dimension.scores import PROBLEMS
from benchmarks.large_dimension.searchers import METHODS, on_shell
from benchmarks.optimizers.peer import Task

SMALL = ["--steps", "3", "--dim", "50", "--population", "6", "--iterations", "3"]


@pytest.mark.parametrize("name", PROBLEMS)
def test_gains_are_in_plain_noise_s_standard_deviations(name: str) -> None:
    score = PROBLEMS[name].score(3, 50, 1)
    plain = torch.randn(20_000, 3, 50, generator=torch.Generator().manual_seed(0))
    values = (score(plain).double() - score.mean) / score.deviation
    assert abs(float(values.mean())) < 6 / 20_000**0.5
    assert abs(float(values.std()) - 1) < 0.05
    assert score.basis.shape[0] == 150
    torch.testing.assert_close(score.basis.T @ score.basis, torch.eye(score.basis.shape[1]))


@pytest.mark.parametrize("method", METHODS)
def test_every_method_gains_on_a_linear_score(method: str) -> None:
    score = PROBLEMS["linear"].score(3, 50, 0)
    searcher = METHODS[method].make(Task(3, 50, 20, False, 0), "cpu", score)
    for _ in range(15):
        searcher.tell(score(searcher.ask()))
    assert score.gain(on_shell(searcher.ask())) > 1


def test_the_shell_has_norm_one() -> None:
    noise = on_shell(3 * torch.randn(4, 3, 50, generator=torch.Generator().manual_seed(0)))
    torch.testing.assert_close(noise.square().mean(-1), torch.ones(4, 3))


def test_what_was_written_is_read_and_shown_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, figure = tmp_path / "runs.json", tmp_path / "figure.svg"
    wanted = ["--problems", "linear", "--methods", "default", "snes", "--seeds", "0:2"]
    assert main([*SMALL, *wanted, "--out", str(out)]) == 0
    shown = capsys.readouterr().out
    assert all(part in shown for part in ("`default`", "SNES", "| 2 |"))
    assert main(["--read", str(out), "--figure", str(figure)]) == 0
    assert capsys.readouterr().out == shown
    assert figure.read_text().startswith("<?xml")


@pytest.mark.parametrize("content", [None, "", "[1]", '[{"seed": 1}]'])
def test_files_that_hold_no_runs_are_refused(
    tmp_path: Path, content: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "runs.json"
    if content is not None:
        path.write_text(content)
    assert main(["--read", str(path)]) == 1
    assert capsys.readouterr().err.startswith("error: Expected")


def test_runs_of_two_sizes_are_no_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = [tmp_path / f"{dim}.json" for dim in (50, 60)]
    for path, dim in zip(paths, (50, 60), strict=True):
        wanted = ["--problems", "linear", "--methods", "shift", "--seeds", "0"]
        assert main([*SMALL, "--dim", str(dim), *wanted, "--out", str(path)]) == 0
        assert len(json.loads(path.read_text())) == 1
    assert main(["--read", *map(str, paths)]) == 1
    assert "one shape" in capsys.readouterr().err
