"""Files of runs: whole lines, nothing done twice, and honest curves of optimisers that diverge."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.optimizers import runs
from benchmarks.optimizers.methods import METHODS, Method
from benchmarks.optimizers.peer import JointPeer, Task
from benchmarks.optimizers.runs import Run, carry_out, missing, outcome, planned, read
from casbo.errors import CasboError
from casbo_functions import ProblemSpec, small_suite

SPHERE = "sphere/rotation/terminal/4x3"


def plan(*methods: str, seeds: range = range(2)) -> list[Run]:
    return planned(
        [ProblemSpec.named(SPHERE), ProblemSpec.named("levy/mixture/cumulative/4x3")],
        methods,
        seeds,
        population=6,
        queries=40,
        options={},
    )


class Diverging(JointPeer):
    """Takes ever larger steps; then raises, or asks for infinity."""

    def __init__(self, task: Task, *, how: str) -> None:
        super().__init__(task)
        self.how, self.iteration = how, 0

    def ask_points(self) -> np.ndarray:
        self.iteration += 1
        if self.iteration > 3:
            if self.how == "raise":
                raise np.linalg.LinAlgError("not positive definite")
            return np.full((self.task.population, self.task.coordinates), np.inf)
        return np.full((self.task.population, self.task.coordinates), float(self.iteration))

    def tell_costs(self, costs: np.ndarray) -> None:
        pass


def test_lines_are_json_and_curves_fall(tmp_path: Path) -> None:
    path = tmp_path / "new" / "runs.jsonl"
    done = list(carry_out(plan("random", "lm-ma-es"), path))
    lines = [json.loads(text) for text in path.read_text().splitlines()]
    assert lines == json.loads(json.dumps(done))
    assert len(lines) == 8
    for line in lines:
        assert line["queries"] == 36  # whole populations of 6
        assert len(line["best"]) == 6
        assert all(a >= b for a, b in zip(line["best"], line["best"][1:], strict=False))
        assert {"torch", "numpy", "cma", "cmaes", "casbo", "commit"} <= line["versions"].keys()


def test_the_first_seed_of_all_problems_comes_first() -> None:
    assert [run.seed for run in plan("pycma", "random")] == [0] * 4 + [1] * 4


def test_a_curve_is_the_least_true_cost_of_candidates_that_did_not_fail() -> None:
    """Random search asks for the same noise whatever it is told: plain and faulty runs compare."""

    def best(faults: str) -> list[float]:
        run = Run(SPHERE + faults, "random", 3, 10, 200)
        object.__setattr__(run, "seed_of", lambda *words: 5)
        return outcome(run)["best"]

    assert best("/noise-0.5") == best("")
    assert all(a >= b for a, b in zip(best("/failures-0.5"), best(""), strict=True))
    assert best("/failures-0.5") != best("")


def test_what_is_there_is_not_run_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "runs.jsonl"
    list(carry_out(plan("random"), path))
    before = path.read_bytes()
    assert missing(plan("random"), path) == []
    monkeypatch.setattr(runs, "outcome", lambda run: pytest.fail(f"ran {run} again"))
    assert list(carry_out(missing(plan("random"), path), path)) == []
    assert path.read_bytes() == before


@pytest.mark.parametrize("kept", [1, 20, 200])
def test_a_line_cut_off_is_run_again(tmp_path: Path, kept: int) -> None:
    path = tmp_path / "runs.jsonl"
    list(carry_out(plan("random"), path))
    whole = path.read_bytes()
    start = whole[:-1].rindex(b"\n") + 1  # of the last line
    path.write_bytes(whole[: start + kept])
    left = missing(plan("random"), path)
    assert len(left) == 1
    list(carry_out(left, path))
    assert len(list(read(path))) == 4
    assert missing(plan("random"), path) == []


def test_runs_do_not_depend_on_the_number_of_processes(tmp_path: Path) -> None:
    def curves(jobs: int) -> list[tuple[object, ...]]:
        path = tmp_path / f"{jobs}.jsonl"
        lines = carry_out(plan("random", "default"), path, jobs=jobs)
        return sorted(
            (line["problem"], line["method"], line["seed"], line["best"]) for line in lines
        )

    assert curves(1) == curves(2)


def test_problems_and_methods_have_seeds_of_their_own() -> None:
    chosen = [
        Run(spec.name, "pycma", seed, 20, 100) for spec in small_suite() for seed in range(9)
    ]
    seeds = [run.seed_of(words) for run in chosen for words in ("problem", "method")]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**31 for seed in seeds)


@pytest.mark.parametrize("how", ["raise", "infinite"])
def test_an_optimiser_that_diverges_keeps_its_curve(
    how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Method("diverging", Diverging, configurable=True)
    monkeypatch.setattr(runs, "method_named", lambda name: made)
    line = outcome(Run(SPHERE, "diverging", 0, 4, 40, {"how": how}))
    assert line["stopped"]
    assert len(line["best"]) == 10
    assert len(set(line["best"][2:])) == 1


def test_an_error_of_the_benchmark_itself_is_no_divergence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(runs, "evaluate", lambda problem, noise: {}["bug"])
    with pytest.raises(KeyError):
        outcome(Run(SPHERE, "random", 0, 4, 40))


def test_costly_methods_stay_below_their_size() -> None:
    large = ProblemSpec.named("sphere/identity/terminal/100x5")
    chosen = planned([large], METHODS, range(1), population=4, queries=8, options={})
    assert {run.method for run in chosen} == set(METHODS) - {"cmaes"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"population": 7}, "even population"),
        ({"queries": 3}, "at least 4 queries"),
        ({"methods": ["nelder-mead"]}, "Expected a method among"),
        ({"methods": ["default"], "options": {"poling": 1}}, "poling"),
        ({"methods": ["openai-es"], "options": {"step": 1}}, "step"),
        ({"methods": ["pycma"], "options": {"sigma": 1}}, "takes none"),
    ],
)
def test_what_cannot_be_run_is_refused_before_any_query(
    changes: dict[str, object], message: str
) -> None:
    asked = {"methods": ["random"], "population": 4, "queries": 8, "options": {}} | changes
    with pytest.raises(CasboError, match=message):
        planned([ProblemSpec.named(SPHERE)], asked.pop("methods"), range(1), **asked)


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.jsonl"
    path.write_text('{"name": "not a run"}\n')
    with pytest.raises(CasboError, match="line 1"):
        list(read(path))
