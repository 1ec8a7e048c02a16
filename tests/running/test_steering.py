"""The loop: budgets, resuming, what reaches the optimiser and what does not."""

from __future__ import annotations

import errno
import io
import json
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from casbo import checkpoint
from casbo.errors import CasboError, RolloutError, RunFolderError, ScorerError
from casbo.ledger import Ledger
from casbo.objective import Clip, Term, WeightedSum
from casbo.optimizer import Optimizer
from casbo.population import Population
from casbo.rollout import FunctionRollout, Rollout, Trajectories
from casbo.steering import Steering, steer

from .problems import Picky, Raising, Sum, parts, sphere


@pytest.fixture(autouse=True)
def no_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures take a second to draw, and reports have tests of their own."""
    monkeypatch.setattr("casbo.report.write_report", lambda *_: None)


def scores(run: Path) -> list[Any]:
    """What the ledger of a run says about every query, times left out."""
    ledger = Ledger(run / "ledger.sqlite")
    rows = [{k: v for k, v in row.items() if k != "attempts"} for row in ledger.rows()]
    ledger.close()
    # as text, for NaN is not equal to itself
    return [json.dumps(row, sort_keys=True) for row in rows]


def last_state(run: Path) -> dict[str, Any]:
    """The newest checkpoint of a run."""
    loaded = checkpoint.load_latest(run / "checkpoints")
    assert loaded.state is not None
    return {k: v for k, v in loaded.state.items() if k != "archive/components"}


def assert_same_state(left: dict[str, Any], right: dict[str, Any]) -> None:
    assert left.keys() == right.keys()
    for name, value in left.items():
        same = torch.equal(value, right[name]) if torch.is_tensor(value) else value == right[name]
        assert same, name


def test_steering_improves_and_reports(tmp_path: Path) -> None:
    result = steer(Sum(), sphere, queries=320, population=16, run=tmp_path / "run")
    assert result.best.score < 0.1 < result.history[0].mean
    assert sphere([result.best.sample]) == [result.best.score]
    assert [best.score for best in result.bests()] == sorted(best.score for best in result.bests())
    assert result.history[-1].queries == 320
    assert result.run is not None
    written = {path.name for path in result.run.iterdir()}
    assert written >= {"config.json", "ledger.sqlite", "samples", "controls.safetensors"}
    again = result.sample(5, seed=3)
    assert len(again) == 5
    assert all(torch.equal(a, b) for a, b in zip(again, result.sample(5, seed=3), strict=True))


def test_the_loop_is_ask_and_tell() -> None:
    """The same as a loop by hand around the optimiser."""
    rollout = Sum()
    by_hand = Optimizer(steps=3, dim=4, population=8, seed=7)
    while by_hand.queries < 80:
        samples = rollout(by_hand.ask()).samples
        by_hand.tell(torch.tensor(sphere(list(samples)), dtype=torch.float64), samples)
    result = steer(rollout, sphere, queries=80, population=8, seed=7)
    assert torch.equal(result.controls.mean, by_hand.controls.mean)


@pytest.mark.parametrize("scorer", [sphere, Picky()])
def test_workers_change_nothing(tmp_path: Path, scorer: Any) -> None:
    options: dict[str, Any] = {"queries": 48, "population": 16, "failure_limit": 1.0}
    for workers in (0, 2):
        steer(Sum(), scorer, run=tmp_path / str(workers), workers=workers, **options)
    assert scores(tmp_path / "0") == scores(tmp_path / "2")
    assert_same_state(last_state(tmp_path / "0"), last_state(tmp_path / "2"))


@pytest.mark.parametrize("stop", [1, 3])
def test_a_run_that_stopped_goes_on_as_if_it_had_not(tmp_path: Path, stop: int) -> None:
    options: dict[str, Any] = {"queries": 96, "population": 16}
    whole = steer(Sum(), sphere, run=tmp_path / "whole", **options)
    with Steering(Sum(), sphere, run=tmp_path / "part", **options) as steering:
        for _ in range(stop):
            next(steering)
    rest = steer(Sum(), sphere, run=tmp_path / "part", **options)
    assert scores(tmp_path / "whole") == scores(tmp_path / "part")
    assert_same_state(last_state(tmp_path / "whole"), last_state(tmp_path / "part"))
    assert rest.best.score == whole.best.score
    assert [r.mean for r in rest.history] == [r.mean for r in whole.history]


def test_a_run_that_is_done_asks_nothing(tmp_path: Path) -> None:
    first = steer(Sum(), sphere, queries=32, population=16, run=tmp_path / "run")

    def never(_: Sequence[Tensor]) -> list[float]:
        raise AssertionError

    never.__module__, never.__qualname__ = sphere.__module__, sphere.__qualname__
    again = steer(Sum(), never, queries=32, population=16, run=tmp_path / "run")
    assert again.best.score == first.best.score
    assert torch.equal(again.best.sample, first.best.sample)


def test_a_larger_budget_extends_a_run(tmp_path: Path) -> None:
    steer(Sum(), sphere, queries=32, population=16, run=tmp_path / "run")
    steer(Sum(), sphere, queries=96, population=16, run=tmp_path / "run")
    steer(Sum(), sphere, queries=96, population=16, run=tmp_path / "whole")
    assert scores(tmp_path / "run") == scores(tmp_path / "whole")


@pytest.mark.parametrize("damage", ["newest", "all", "gone"])
def test_damaged_checkpoints_cost_no_query(tmp_path: Path, damage: str) -> None:
    options: dict[str, Any] = {"queries": 96, "population": 16}
    steer(Sum(), sphere, run=tmp_path / "whole", **options)
    with Steering(Sum(), sphere, run=tmp_path / "part", **options) as steering:
        for _ in range(4):
            next(steering)
    files = sorted((tmp_path / "part" / "checkpoints").iterdir())
    if damage == "gone":
        shutil.rmtree(tmp_path / "part" / "checkpoints")
    for path in files[-1:] if damage == "newest" else files if damage == "all" else []:
        path.write_bytes(path.read_bytes()[:-1])
    asked = []

    def counted(samples: Sequence[Tensor]) -> list[float]:
        asked.extend(samples)
        return sphere(samples)

    counted.__module__, counted.__qualname__ = sphere.__module__, sphere.__qualname__
    if damage == "gone":
        steer(Sum(), counted, run=tmp_path / "part", **options)
    else:
        with pytest.warns(UserWarning, match="no query is lost or repeated"):
            steer(Sum(), counted, run=tmp_path / "part", **options)
    assert len(asked) == 32
    assert scores(tmp_path / "whole") == scores(tmp_path / "part")
    assert_same_state(last_state(tmp_path / "whole"), last_state(tmp_path / "part"))


def test_scores_of_other_noise_are_never_taken(tmp_path: Path) -> None:
    """As if another version drew other noise: the run is refused, nothing is misattributed."""
    options: dict[str, Any] = {"queries": 48, "population": 16, "run": tmp_path / "run"}
    with Steering(Sum(), sphere, **options) as steering:
        next(steering)
    shutil.rmtree(tmp_path / "run" / "checkpoints")
    ask = Optimizer.ask
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Optimizer, "ask", lambda self: -ask(self))
        with pytest.raises(RunFolderError, match="other noise"):
            steer(Sum(), sphere, **options)
    assert steer(Sum(), sphere, **options).history[-1].queries == 48


def test_the_budget_is_never_exceeded() -> None:
    for queries in (16, 31, 32, 100):
        result = steer(Sum(), sphere, queries=queries, population=16)
        assert result.history[-1].queries == queries - queries % 16
    assert steer(Sum(), sphere, queries=40).history[-1].queries == 40
    with pytest.raises(CasboError, match="at least 16 queries"):
        steer(Sum(), sphere, queries=15, population=16)


def test_direction(tmp_path: Path) -> None:
    low = steer(Sum(), sphere, queries=160, population=16)
    high = steer(Sum(), sphere, queries=160, population=16, direction="maximize")
    assert low.best.score < low.history[0].best
    assert high.best.score > high.history[0].mean > low.best.score
    assert steer(Sum(), Picky(), queries=32, population=16).config["direction"] == "maximize"


def test_components_need_an_objective_and_are_all_kept() -> None:
    with pytest.raises(ScorerError, match="WeightedSum"):
        steer(Sum(), parts, queries=16, population=16)
    objective = WeightedSum({"far": Term(1.0, Clip(high=5.0))})
    with Steering(Sum(), parts, queries=16, population=16, objective=objective) as steering:
        record = next(steering)
        rows = list(steering.ledger.rows())
    assert set(record.components) == {"far", "first"}
    for row in rows:
        assert row["score"] == min(5.0, row["components"]["far"])
        assert "first" in row["components"]


def test_failures_are_recorded_ranked_last_and_stop_a_hopeless_run(tmp_path: Path) -> None:
    result = steer(Sum(), Raising(), queries=96, population=32, run=tmp_path / "some")
    assert 0 < result.history[-1].failed < 48
    assert all(float(best.sample[0]) <= 1 for best in result.bests())

    def hopeless(samples: Sequence[Tensor]) -> list[float]:
        return [math.nan] * len(samples)

    options: dict[str, Any] = {"queries": 256, "population": 16, "run": tmp_path / "none"}
    with pytest.raises(ScorerError, match=r"32 of 32 .*32 x score: the scorer returned nan"):
        steer(Sum(), hopeless, **options)
    result = steer(Sum(), hopeless, failure_limit=1.0, **options)
    assert result.history[-1].queries == 256
    assert float(result.controls.kl_to_prior().abs().max()) == pytest.approx(0, abs=1e-12)
    with pytest.raises(CasboError, match="every query failed"):
        _ = result.best


def test_score_steps_cost_queries_and_reach_the_optimiser() -> None:
    seen = []

    class Spy(Optimizer):
        def tell(self, told: Any, samples: Any = None) -> None:
            seen.append(told.clone())
            super().tell(told, samples)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("casbo.steering.Optimizer", Spy)
        result = steer(Sum(steps=5), sphere, queries=96, population=16, score_steps=(1, 3))
    assert result.history[-1].queries == 96
    assert len(seen) == 2
    for told in seen:
        assert told.shape == (16, 5)
        assert (told[:, [0, 2]] == 0).all()
        assert (told[:, [1, 3, 4]] != 0).all()
    for wrong in ((4,), (-1,), (1, 1)):
        with pytest.raises(CasboError, match="score_steps"):
            steer(Sum(steps=5), sphere, queries=96, score_steps=wrong)


def test_a_heldout_scorer_is_counted_apart_and_steers_nothing(tmp_path: Path) -> None:
    options: dict[str, Any] = {"queries": 64, "population": 16}
    alone = steer(Sum(), sphere, **options)
    held = steer(Sum(), sphere, heldout=parts, heldout_count=3, run=tmp_path / "run", **options)
    assert torch.equal(held.controls.mean, alone.controls.mean)
    assert held.history[-1].queries == 64
    assert {"heldout.far", "heldout.first"} < set(held.history[-1].components)
    ledger = Ledger(tmp_path / "run" / "ledger.sqlite")
    assert (ledger.tally("steering").completed, ledger.tally("heldout").completed) == (64, 12)
    steered = {(r["iteration"], r["number"]): r["score"] for r in ledger.rows()}
    for row in ledger.rows("heldout"):
        assert row["components"]["far"] == steered[(row["iteration"], row["number"])]
    ledger.close()


def test_other_settings_are_refused_by_name(tmp_path: Path) -> None:
    steer(Sum(), sphere, queries=32, population=16, run=tmp_path / "run")
    before = (tmp_path / "run" / "config.json").read_bytes()
    for change in ({"seed": 1}, {"population": 8}, {"rule": "ingo"}, {"direction": "maximize"}):
        options: dict[str, Any] = {"queries": 64, "population": 16, **change}
        with pytest.raises(RunFolderError, match=next(iter(change))):
            steer(Sum(), sphere, run=tmp_path / "run", **options)
    with pytest.raises(RunFolderError, match="scorer"):
        steer(Sum(), Raising(), queries=64, population=16, run=tmp_path / "run")
    assert (tmp_path / "run" / "config.json").read_bytes() == before


def test_two_processes_do_not_work_on_one_run(tmp_path: Path) -> None:
    options: dict[str, Any] = {"queries": 64, "population": 16, "run": tmp_path / "run"}
    with Steering(Sum(), sphere, **options) as steering:
        next(steering)
        with pytest.raises(RunFolderError, match="Another process"):
            steer(Sum(), sphere, **options)
    steer(Sum(), sphere, **options)


def test_folders_that_are_no_runs_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(RunFolderError, match="other files"):
        steer(Sum(), sphere, queries=32, population=16, run=tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "precious"
    for name in ("a\0b", tmp_path / "thesis.txt"):
        with pytest.raises(RunFolderError):
            steer(Sum(), sphere, queries=32, population=16, run=name)
    steer(Sum(), sphere, queries=32, population=16, run=tmp_path / "<b>..%2f&amp;")


def test_an_interrupt_leaves_a_run_that_goes_on(tmp_path: Path) -> None:
    calls = []

    def interrupted(samples: Sequence[Tensor]) -> list[float]:
        calls.append(len(samples))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return sphere(samples)

    interrupted.__module__, interrupted.__qualname__ = sphere.__module__, sphere.__qualname__
    options: dict[str, Any] = {"queries": 96, "population": 16}
    with pytest.raises(KeyboardInterrupt):
        steer(Sum(), interrupted, run=tmp_path / "run", **options)
    steer(Sum(), sphere, run=tmp_path / "run", **options)
    steer(Sum(), sphere, run=tmp_path / "whole", **options)
    assert scores(tmp_path / "run") == scores(tmp_path / "whole")


def test_rollouts_that_break_their_contract_are_named() -> None:
    class Bare(Rollout):
        shape = (3, 4)

        def __call__(self, noise: Tensor, *, predict: Sequence[int] = ()) -> Any:
            return noise.sum(1)

    with pytest.raises(RolloutError, match="FunctionRollout"):
        steer(Bare(), sphere, queries=16, population=16)
    short = FunctionRollout(lambda noise: noise.sum(1)[1:], (3, 4))
    with pytest.raises(RolloutError, match="Expected 16 final samples"):
        steer(short, sphere, queries=16, population=16)
    with pytest.raises(RolloutError, match="final samples only"):
        steer(FunctionRollout(lambda n: n.sum(1), (3, 4)), sphere, queries=64, score_steps=(1,))
    with pytest.raises(RolloutError, match=r"shape \(K, D\)"):
        FunctionRollout(lambda noise: noise, (0, 4))


def test_a_population_is_rolled_out_once_and_whole() -> None:
    calls = []

    class Counting(Sum):
        def __call__(self, noise: Tensor, *, predict: Sequence[int] = ()) -> Trajectories:
            calls.append(len(noise))
            return super().__call__(noise, predict=predict)

    population = Population(Counting(), torch.ones(4, 3, 4), score_steps=(1,), first=8)
    assert not population.made
    assert population.samples().keys() == set(population.slots)
    population.samples()
    assert calls == [4]
    assert {number for number, _ in population.slots} == {8, 9, 10, 11}


@pytest.mark.parametrize("nth", range(3))
def test_a_full_disk_stops_clearly_and_the_run_goes_on(tmp_path: Path, nth: int) -> None:
    options: dict[str, Any] = {"queries": 64, "population": 16}
    steer(Sum(), sphere, run=tmp_path / "whole", **options)
    fsync, calls = os.fsync, iter(range(10**6))

    def full(descriptor: int) -> None:
        if next(calls) == 2 + 3 * nth:
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(descriptor)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(RunFolderError, match="No space left on device"):
            steer(Sum(), sphere, run=tmp_path / "run", **options)
    steer(Sum(), sphere, run=tmp_path / "run", **options)
    assert scores(tmp_path / "run") == scores(tmp_path / "whole")
    assert_same_state(last_state(tmp_path / "run"), last_state(tmp_path / "whole"))


@pytest.mark.parametrize(
    "wrong",
    [
        {"queries": "64"},
        {"queries": 64.0},
        {"population": 1},
        {"population": 16.0},
        {"keep": 0},
        {"failure_limit": 0.0},
        {"heldout": parts, "heldout_count": 17},
        {"workers": -1},
        {"direction": "up"},
        {"rule": "none"},
        {"no_such_option": 1},
        {"deadline": 1.0},
    ],
)
def test_wrong_settings_are_refused_before_anything_is_written(
    tmp_path: Path, wrong: dict[str, Any]
) -> None:
    options: dict[str, Any] = {"queries": 64, "population": 16, **wrong}
    with pytest.raises(CasboError):
        steer(Sum(), sphere, run=tmp_path / "run", **options)
    assert not (tmp_path / "run").exists()


def test_progress_at_a_terminal_is_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "160")
    steer(Sum(), Raising(), queries=48, population=16)
    shown = terminal.getvalue()
    assert "48/48" in shown
    assert "best" in shown


def test_progress_is_plain_lines_away_from_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    steer(Sum(), sphere, queries=48, population=16, progress=True)
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1].startswith("iteration 3  best ")
    assert lines[-1].endswith("queries left 0")
    steer(Sum(), sphere, queries=48, population=16)
    assert capsys.readouterr().err == ""


def test_best_saves_one_file(tmp_path: Path) -> None:
    result = steer(Sum(), sphere, queries=16, population=16)
    path = result.best.save(tmp_path / "deep" / "best.safetensors")
    assert [p.name for p in path.parent.iterdir()] == ["best.safetensors"]
    with pytest.raises(CasboError, match=r"\.safetensors"):
        result.best.save(tmp_path / "best.png")


def test_a_worker_script_without_a_guard_is_told(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import casbo.steering, casbo.rollout\n"
        "def score(samples): return [0.0] * len(samples)\n"
        "rollout = casbo.rollout.FunctionRollout(lambda noise: noise, (2, 2))\n"
        "casbo.steering.steer(rollout, score, queries=8, population=8, workers=1)\n"
    )
    done = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode != 0
    assert "if __name__ == '__main__'" in done.stderr.splitlines()[-1]


class Spelled(Sum):
    """Samples that say what they are."""

    def identify(self, sample: Tensor) -> str | None:
        return json.dumps(sample.tolist())


def test_the_ledger_says_what_was_scored(tmp_path: Path) -> None:
    steer(Spelled(), sphere, queries=32, population=8, run=tmp_path / "run")
    ledger = Ledger(tmp_path / "run" / "ledger.sqlite")
    rows = list(ledger.rows())
    ledger.close()
    assert len(rows) == 32
    for row in rows:
        assert sphere([torch.tensor(json.loads(row["sample"]), dtype=torch.float64)]) == [
            row["score"]
        ]
