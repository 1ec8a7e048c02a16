"""`casbo functions` from the command line."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from casbo.cli import run
from casbo_functions import FORMULAS, ROLLOUTS
from casbo_functions.command import domain
from casbo_functions.suite import SIZES, ProblemSpec

SMALL = ["--dim", "4", "--steps", "3", "--queries", "400", "--population", "20"]


def costs(printed: str) -> tuple[float, float]:
    """The steered and the unsteered cost that a run printed."""
    steered = re.search(r"best steered sample +(\S+)", printed)
    plain = re.search(r"best unsteered sample +(\S+)", printed)
    assert steered
    assert plain
    return float(steered[1]), float(plain[1])


def test_the_list_names_everything(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["functions", "--list"]) == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in (*FORMULAS, *ROLLOUTS))
    assert all(f"{dim}x{steps}" in printed for dim, steps in SIZES)


@pytest.mark.parametrize("dynamics", ROLLOUTS)
def test_steering_beats_plain_sampling(dynamics: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["functions", "sphere", "--dynamics", dynamics, *SMALL]) == 0
    steered, plain = costs(capsys.readouterr().out)
    assert 0 <= steered < plain


def test_a_run_folder_holds_picture_and_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    assert run(["functions", "levy", *SMALL, "--cumulative", "--out", str(folder)]) == 0
    assert (folder / "report.html").is_file()
    assert (folder / "cost.svg").read_text().startswith("<?xml")
    config = json.loads((folder / "config.json").read_text())
    assert config["domain"]["name"] == "functions"
    capsys.readouterr()

    (folder / "cost.svg").unlink()
    assert run(["resume", str(folder), "--queries", "600"]) == 0
    assert "600 queries" in capsys.readouterr().out
    assert (folder / "cost.svg").is_file()
    assert run(["sample", str(folder), "-n", "3", "--out", str(tmp_path / "more")]) == 0
    assert (tmp_path / "more" / "samples.safetensors").is_file()


def test_the_problem_is_rebuilt_from_its_options() -> None:
    options = {
        "function": "rastrigin10",
        "dynamics": "mixture",
        "dim": 3,
        "steps": 4,
        "cumulative": True,
        "noise": 0.1,
        "failures": 0.05,
        "seed": 7,
    }
    first, second = (domain.rebuild(json.loads(json.dumps(options))) for _ in range(2))
    assert first.rollout.describe() == second.rollout.describe()
    assert first.scorer == second.scorer
    assert first.finish is not None


def test_a_picture_where_it_is_asked_for(tmp_path: Path) -> None:
    target = tmp_path / "new" / "cost.png"
    assert run(["functions", "sphere", *SMALL, "--noise", "0.1", "--plot", str(target)]) == 0
    assert target.read_bytes().startswith(b"\x89PNG")


def test_a_folder_is_no_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "cost.svg"
    target.mkdir()
    assert run(["functions", "sphere", *SMALL, "--plot", str(target)]) == 2
    assert "a file that can be written" in capsys.readouterr().err


def test_a_whole_problem_by_its_name(tmp_path: Path) -> None:
    """The name and the options that it stands for are the same run."""
    name = "sphere/linear-tanh/cumulative/4x3/noise-0.1/failures-0.1"
    spec = ProblemSpec.named(name)
    spent = ["--queries", "200", "--population", "20"]
    assert run(["functions", name, *spent, "--out", str(tmp_path / "named")]) == 0
    options = spec.options()
    named = ["--dynamics", "linear-tanh", "--dim", "4", "--steps", "3", "--cumulative"]
    faults = ["--noise", "0.1", "--failures", repr(options["failures"])]
    out = str(tmp_path / "told")
    assert run(["functions", "sphere", *named, *faults, *spent, "--out", out]) == 0
    first, second = (
        json.loads((tmp_path / folder / "config.json").read_text())["domain"]
        for folder in ("named", "told")
    )
    assert first == second
    assert first["options"] == {**options, "seed": 0}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["parabola"], "test function among sphere"),
        ([], "name of a test function"),
        (["sphere", "--dynamics", "chaos"], "dynamics among identity"),
        (["rosenbrock", "--dim", "1"], "at least 2 coordinates"),
        (["sphere", "--dynamics", "mixture", "--steps", "1"], "at least 2 steps"),
        (["sphere", "--failures", "1.5"], "share of failures"),
        (["sphere", "--plot", "cost.gif"], ".svg, .png or .pdf"),
        (["sphere", "--plot", "/proc/none/cost.svg"], "a folder to write"),
        (["sphere", "--problem-seed", "9" * 23], "between 0 and 2^62"),
        (["sphere", "--problem-seed", "-1"], "between 0 and 2^62"),
        (["sphere/mixture/10x5"], "function/dynamics/terminal or cumulative/DxK"),
        (["sphere/identity/terminal/10x5", "--dim", "4"], "without --dim"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["functions", *arguments]) == 2
    printed = capsys.readouterr()
    assert message in printed.err
    assert len(printed.err.strip().splitlines()) == 1
    assert printed.out == ""
