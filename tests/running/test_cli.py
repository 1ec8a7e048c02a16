"""The command line: exit codes, one line per problem, domains that come and go."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
import torch
import typer
from torch import Tensor

from casbo import cli
from casbo.domains import Domain, LoadedDomains, Problem, load_domains, rebuild_problem
from casbo.errors import CasboError
from casbo.ledger import Ledger
from casbo.result import Result
from casbo.run_config import steering_options
from casbo.run_folder import PARTS, RunFolder
from casbo.steering import Steering, steer
from casbo.version import __version__

from . import problems
from .problems import Sum, parts, sphere

finished: list[Result] = []


def register(app: typer.Typer) -> None:
    """Add a command that always fails in a way of its own."""

    @app.command("tiny")
    def tiny(how: str) -> None:
        if how == "casbo":
            raise CasboError("Expected this,\n got that.")
        if how == "interrupt":
            raise KeyboardInterrupt
        typer.echo(how)


def rebuild(options: Mapping[str, Any]) -> Problem:
    """The problem of the tests, of the size the options say."""
    return Problem(Sum(dim=options["dim"]), sphere, finish=finished.append)


TINY = Domain("tiny", register, rebuild)


@pytest.fixture(autouse=True)
def no_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures take a second to draw, and reports have tests of their own."""
    monkeypatch.setattr("casbo.report.write_report", lambda *_: None)


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = LoadedDomains({"tiny": TINY}, {"broken": "ImportError: no such thing"})
    monkeypatch.setattr("casbo.domains.load_domains", lambda: loaded)
    monkeypatch.setattr("casbo.cli.load_domains", lambda: loaded)
    monkeypatch.setattr("warnings.showwarning", None)
    finished.clear()


def make_run(folder: Path, **options: Any) -> dict[str, Any]:
    """A run of the tiny domain's; returns its options."""
    chosen: dict[str, Any] = {"queries": 32, "population": 16, "run": folder, **options}
    steer(Sum(dim=2), sphere, domain=TINY.config({"dim": 2}), **chosen)
    return chosen


def test_help_names_everything(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["--help"]) == 0
    shown = capsys.readouterr().out
    for command in ("resume", "report", "sample", "tiny"):
        assert command in shown
    assert "broken: ImportError" in " ".join(shown.split())
    assert cli.run(["--version"]) == 0
    assert __version__ in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "code", "line"),
    [
        (["tiny", "casbo"], 2, "casbo: Expected this, got that."),
        (["tiny", "interrupt"], 130, "casbo: interrupted. What was scored is kept: "),
        (["report", "nowhere"], 2, "casbo: Expected a run folder"),
        (["resume", "nowhere"], 2, "casbo: Expected a run folder"),
        (["sample", "nowhere"], 2, "casbo: Expected a run folder"),
    ],
)
def test_a_problem_is_one_line_and_a_code(
    arguments: list[str], code: int, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(arguments) == code
    shown = capsys.readouterr()
    assert shown.out == ""
    (only,) = shown.err.strip().splitlines()
    assert only.startswith(line)


@pytest.mark.parametrize(
    "arguments", [["nonsense"], ["resume"], ["sample", "x", "-n", "0"], ["--nonsense"]]
)
def test_wrong_usage_is_code_2(arguments: list[str]) -> None:
    assert cli.run(arguments) == 2


def test_resume_goes_on_and_finishes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_run(tmp_path / "whole", queries=96)
    options = {"queries": 96, "population": 16, "domain": TINY.config({"dim": 2})}
    with Steering(Sum(dim=2), sphere, run=tmp_path / "run", **options) as steering:  # type: ignore[arg-type]
        next(steering)
    assert cli.run(["resume", str(tmp_path / "run")]) == 0
    assert len(finished) == 1
    assert "after 96 queries, 0 failed" in capsys.readouterr().out
    assert rows(tmp_path / "run") == rows(tmp_path / "whole")
    assert cli.run(["resume", str(tmp_path / "run"), "--queries", "128"]) == 0
    assert len(rows(tmp_path / "run")) == 128
    assert len(finished) == 2


def rows(run: Path) -> list[Any]:
    """The scores of a run's ledger."""
    ledger = Ledger(run / "ledger.sqlite")
    found = [(row["iteration"], row["number"], row["score"]) for row in ledger.rows()]
    ledger.close()
    return found


def test_report_and_sample_write_what_they_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    make_run(run)
    assert cli.run(["report", str(run)]) == 0
    assert Path(capsys.readouterr().out.strip()).is_file()
    before = rows(run)
    for out in (["--out", str(tmp_path / "out")], []):
        assert cli.run(["sample", str(run), "-n", "7", "--seed", "5", *out]) == 0
        written = [Path(line) for line in capsys.readouterr().out.splitlines()]
        assert written
        assert all(path.is_file() for path in written)
    from safetensors.torch import load_file

    samples = load_file(tmp_path / "out" / "samples.safetensors")["samples"]
    assert samples.shape == (7, 2)
    assert rows(run) == before


def test_sample_without_output_is_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make_run(tmp_path / "run")
    monkeypatch.setattr(Sum, "export", lambda *_: [tmp_path / "never"])
    assert cli.run(["sample", str(tmp_path / "run")]) == 2
    assert "nothing was written" in capsys.readouterr().err


def test_a_run_from_python_says_how_to_go_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    steer(Sum(), sphere, queries=32, population=16, run=tmp_path / "run")
    assert cli.run(["resume", str(tmp_path / "run")]) == 2
    assert "casbo.steer(...) again" in capsys.readouterr().err


def test_a_warning_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    make_run(run)
    newest = max((run / "checkpoints").iterdir())
    newest.write_bytes(newest.read_bytes()[:100])
    assert cli.run(["sample", str(run)]) == 0
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert newest.name in line
    assert "no query is lost or repeated" in line


def test_options_survive_the_config(tmp_path: Path) -> None:
    given: dict[str, Any] = {
        "rule": "ingo",
        "covariance": "diagonal",
        "dtype": torch.float32,
        "noise_norm": "project",
        "keep": 7,
        "failure_limit": 0.9,
        "direction": "maximize",
        "score_steps": (0,),
        "queries": 64,
    }
    run = tmp_path / "run"
    make_run(run, **given)
    options = steering_options(RunFolder.existing(run).read_config())
    for name, value in given.items():
        assert options[name] == value, name


def test_objects_in_the_options_need_python(tmp_path: Path) -> None:
    from casbo.covariance import Full

    start = Full.identity(3, 2, dtype=torch.float64, device=torch.device("cpu"))
    make_run(tmp_path / "run", covariance=start)
    with pytest.raises(CasboError, match="covariance"):
        steering_options(RunFolder.existing(tmp_path / "run").read_config())


def test_a_domain_that_breaks_costs_only_itself(capsys: pytest.CaptureFixture[str]) -> None:
    found = [
        EntryPoint("good", "running.test_cli:TINY", "casbo.domains"),
        EntryPoint("absent", "no_such_module:domain", "casbo.domains"),
        EntryPoint("odd", "running.test_cli:register", "casbo.domains"),
    ]
    loaded = load_domains(found)
    assert set(loaded.domains) == {"tiny"}
    assert set(loaded.problems) == {"absent", "odd"}
    assert "no_such_module" in loaded.problems["absent"]

    def broken(_: typer.Typer) -> None:
        raise RuntimeError("half\nwritten")

    cli.make_app(LoadedDomains({"bad": Domain("bad", broken, rebuild), "tiny": TINY}))
    assert (
        capsys.readouterr().err == "casbo: the commands of bad are not available (half written)\n"
    )


def test_a_run_of_an_absent_domain_says_so() -> None:
    with pytest.raises(CasboError, match="'gone'"):
        rebuild_problem({"domain": {"name": "gone", "options": {}}})


def test_components_and_heldout_of_a_domain(tmp_path: Path) -> None:
    options = {"queries": 32, "population": 16, "heldout": parts, "heldout_count": 2}
    make_run(tmp_path / "run", **options)
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["heldout_count"] == 2
    assert steering_options(config)["heldout_count"] == 2


SCRIPT = """
import signal
import sys
from casbo import cli
from running import test_cli
loaded = test_cli.LoadedDomains({"tiny": test_cli.TINY})
cli.load_domains = lambda: loaded
import casbo.domains
casbo.domains.load_domains = lambda: loaded
test_cli.sphere = test_cli.slow_sphere
# as from a terminal: what a shell starts in the background ignores Ctrl-C
signal.signal(signal.SIGINT, signal.default_int_handler)
cli.main(["resume", sys.argv[1]])
"""


def slow_sphere(samples: Sequence[Tensor]) -> list[float]:
    """The score, slowly."""
    time.sleep(0.2)
    return problems.sphere(samples)


slow_sphere.__module__, slow_sphere.__qualname__ = sphere.__module__, sphere.__qualname__


def test_ctrl_c_says_how_to_go_on(tmp_path: Path) -> None:
    run = tmp_path / "run"
    make_run(run)
    config = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps({**config, "queries": 3200}))
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(run)],
        env=environment,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    deadline = time.monotonic() + 60
    while len(rows(run)) < 64 and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert errors.strip().splitlines()[-1].startswith("casbo: interrupted.")
    assert cli.run(["resume", str(run), "--queries", "160"]) == 0


def test_a_folder_of_several_runs_is_the_domains_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`resume` hands it over; what needs one run says which there are."""
    asked: list[tuple[Path, Mapping[str, Any]]] = []
    several = dataclasses.replace(TINY, resume=lambda *given: asked.append(given))
    loaded = LoadedDomains({"tiny": several, "alone": Domain("alone", register, rebuild)})
    monkeypatch.setattr("casbo.domains.load_domains", lambda: loaded)
    folder = tmp_path / "runs"
    make_run(folder / "part")
    path = folder / PARTS
    path.write_text(json.dumps({"domain": TINY.config({})}))
    assert cli.run(["resume", str(folder), "--queries", "64"]) == 0
    assert asked == [(folder, {"queries": 64})]
    for command in ("sample", "report"):
        assert cli.run([command, str(folder)]) == 2
        assert f"name one of part in {folder}" in capsys.readouterr().err
    for text in (
        "",
        "[]",
        "{}",
        '{"domain": {"name": "absent"}}',
        '{"domain": {"name": "alone"}}',
    ):
        path.write_text(text)
        assert cli.run(["resume", str(folder)]) == 2
        (line,) = capsys.readouterr().err.strip().splitlines()
        assert str(folder) in line
