"""Workers: one candidate's misdeed is one candidate's failure, and no process is left behind."""

from __future__ import annotations

import math
import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from casbo.errors import ScorerError
from casbo.scorer import Reply
from casbo.workers import Scoring, open_scoring

from . import problems
from .processes import requires_proc, survivors

MISDEEDS = {
    "exit_zero": "exit status 0",
    "exit_three": "exit status 3",
    "system_exit": "SystemExit: bye",
    "segfault": "SIGSEGV",
    "killed": "SIGKILL",
    "sleep": "deadline of 1.5 s",
    "hold_interpreter": "deadline of 1.5 s",
    "raise_error": "ValueError: no good",
    "unpicklable_error": "ValueError: odd",
    "wrong_length": "one number per sample",
    "wrong_type": "Expected",
    "nan": "nan",
    "odd_components": "b: expected a number",
}


@pytest.fixture(scope="module")
def pool() -> Iterator[Scoring]:
    with open_scoring(problems.Misbehaving(), workers=2, deadline=1.5) as scoring:
        yield scoring


def test_every_misdeed_fails_its_own_candidate_only(pool: Scoring) -> None:
    samples: dict[int, object] = dict(enumerate(MISDEEDS))
    numbers = {100 + n: float(n) for n in range(12)}
    # numbers and misdeeds take turns, so that each death has neighbours in flight
    jobs = dict(sorted((samples | numbers).items(), key=lambda job: job[0] % 100))
    replies = dict(pool.score(jobs))
    assert replies.keys() == jobs.keys()
    for key, number in numbers.items():
        assert replies[key].components == {"score": number}, replies[key]
    for key, (misdeed, message) in enumerate(MISDEEDS.items()):
        reply = replies[key]
        assert message in (reply.message or ""), (misdeed, reply)
        assert all(math.isnan(v) for n, v in reply.components.items() if n != "a")


@pytest.mark.slow
def test_a_worker_that_ignores_sigterm_is_killed(pool: Scoring) -> None:
    replies = dict(pool.score({1: "ignore_sigterm", 2: 2.0, 3: 3.0}))
    assert "deadline" in (replies[1].message or "")
    assert replies[2].components == {"score": 2.0}


def test_one_job_that_kills_a_pool_of_one(pool: Scoring) -> None:
    with open_scoring(problems.Misbehaving(), workers=1) as single:
        replies = dict(single.score({1: "killed", 2: 2.0, 3: "exit_zero", 4: 4.0}))
    assert [replies[key].message is None for key in (1, 2, 3, 4)] == [False, True, False, True]


def test_a_sample_that_cannot_be_sent_fails_alone(pool: Scoring) -> None:
    replies = dict(pool.score({1: lambda: None, 2: 2.0}))
    assert "cannot be sent" in (replies[1].message or "")
    assert replies[2].components == {"score": 2.0}


def test_the_deadline_does_not_count_prepare() -> None:
    with open_scoring(problems.Prepared(1.5), workers=1, deadline=0.5) as scoring:
        replies = dict(scoring.score({1: "a", 2: "b"}))
    assert [reply.components for reply in replies.values()] == [{"score": 1.0}] * 2


@pytest.mark.parametrize("workers", [0, 1])
def test_a_scorer_that_cannot_prepare_stops_with_the_cause(workers: int) -> None:
    with (
        open_scoring(problems.CannotPrepare(), workers=workers) as scoring,
        pytest.raises(ScorerError, match=r"receptor\.pdb is not there"),
    ):
        list(scoring.score({1: "a"}))


def test_workers_that_die_before_they_are_ready_stop_the_run() -> None:
    with (
        open_scoring(problems.DiesPreparing(), workers=1) as scoring,
        pytest.raises(ScorerError, match="before they are ready"),
    ):
        list(scoring.score({1: "a"}))


def test_workers_and_batches_give_the_same_replies() -> None:
    generator = torch.Generator().manual_seed(0)
    jobs = dict(enumerate(torch.randn(24, 4, generator=generator, dtype=torch.float64)))

    def components(workers: int) -> list[str]:
        with open_scoring(problems.Picky(), workers=workers) as scoring:
            replies = dict(scoring.score(jobs))
        return [repr((dict(replies[k].components), replies[k].message)) for k in jobs]

    assert components(0) == components(1) == components(3)


def test_in_process_one_raising_sample_fails_alone() -> None:
    jobs = {n: torch.tensor([float(n)]) for n in range(4)}
    with open_scoring(problems.Raising()) as scoring:
        replies = dict(scoring.score(jobs))
    assert [replies[n].message for n in jobs] == [None, None] + ["first coordinate above 1"] * 2
    assert {reply.attempts for reply in replies.values()} == {2}


def test_in_process_a_wrong_shape_fails_the_batch_without_asking_again() -> None:
    calls = []

    def wrong(samples: list[object]) -> list[float]:
        calls.append(len(samples))
        return [1.0]

    with open_scoring(wrong) as scoring:
        replies = dict(scoring.score({1: "a", 2: "b"}))
    assert calls == [2]
    assert all("one number per sample" in (reply.message or "") for reply in replies.values())


def test_in_process_an_interrupt_is_not_a_failed_candidate() -> None:
    def interrupted(_: list[object]) -> list[float]:
        raise KeyboardInterrupt

    with open_scoring(interrupted) as scoring, pytest.raises(KeyboardInterrupt):
        list(scoring.score({1: "a"}))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"workers": -1}, "workers >= 0"),
        ({"deadline": 1.0}, "only a worker process"),
        ({"workers": 1, "deadline": 0.0}, "deadline > 0"),
    ],
)
def test_settings_that_do_not_fit(options: dict[str, float], message: str) -> None:
    with pytest.raises(ScorerError, match=message):
        open_scoring(problems.sphere, **options)  # type: ignore[arg-type]


def test_scorers_that_cannot_be_used() -> None:
    with pytest.raises(ScorerError, match="callable"):
        open_scoring(7)  # type: ignore[arg-type]
    with pytest.raises(ScorerError, match="top level of a module"):
        open_scoring(lambda samples: samples, workers=1)


@requires_proc
def test_a_hanging_grandchild_dies_with_its_worker(tmp_path: Path) -> None:
    with open_scoring(problems.Spawning(tmp_path), workers=2, deadline=1.0) as scoring:
        replies = dict(scoring.score({1: "hang", 2: "hang", 3: "return"}))
        assert [replies[key].message is None for key in (1, 2, 3)] == [False, False, True]
    assert survivors(started(tmp_path)) == []


@requires_proc
def test_nothing_survives_the_main_process(tmp_path: Path) -> None:
    """SIGKILL to the process that steers, while its workers and their children hang."""
    main = multiprocessing.get_context("spawn").Process(target=score_hanging, args=(tmp_path,))
    main.start()
    wait_for(lambda: len(started(tmp_path)) >= 4)
    assert main.pid is not None
    os.kill(main.pid, signal.SIGKILL)
    main.join()
    assert survivors(started(tmp_path)) == []


@requires_proc
def test_closing_in_the_middle_leaves_nothing(tmp_path: Path) -> None:
    scoring = open_scoring(problems.Spawning(tmp_path), workers=2)
    replies = scoring.score({1: "return", 2: "hang"})
    assert next(replies) == (1, Reply({"score": 0.0}, None, pytest.approx(0, abs=60)))
    scoring.close()
    assert survivors(started(tmp_path)) == []


def started(folder: Path) -> list[int]:
    """The processes that `Spawning` wrote down."""
    return [int(path.name) for path in folder.iterdir()]


def score_hanging(folder: Path) -> None:
    """Score two samples that hang; runs in a process of its own."""
    with open_scoring(problems.Spawning(folder), workers=2) as scoring:
        list(scoring.score({1: "hang", 2: "hang"}))


def wait_for(condition: object, seconds: float = 60.0) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


class Estimating:
    """Says how long a sample takes, or cannot; writes down what it was asked about."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __call__(self, samples: list[float]) -> list[float]:
        with self.path.open("a") as file:
            file.writelines(f"{sample:g} " for sample in samples)
        return list(samples)

    def effort(self, sample: float) -> float:
        if sample == 3:
            raise ValueError("no idea")
        return math.nan if sample == 4 else sample


def test_the_longest_jobs_are_begun_first(tmp_path: Path) -> None:
    jobs = {key: float(key) for key in (2, 9, 3, 5, 4, 7)}
    with open_scoring(Estimating(tmp_path / "asked"), workers=1) as scoring:
        replies = dict(scoring.score(jobs))
    assert (tmp_path / "asked").read_text() == "9 7 5 2 3 4 "
    assert {key: reply.components["score"] for key, reply in replies.items()} == jobs
