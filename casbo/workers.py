"""Scoring: in this process, or in killable workers with a deadline per candidate.

Both forms take jobs (key -> sample) and yield (key, `Reply`) in whatever order replies
arrive, those that arrive together as one sequence; a key gets exactly one reply. What goes
wrong with one candidate (an exception, a wrong shape, a worker that hangs, exits or is killed
by a signal) is that candidate's failed reply. What goes wrong with the scorer itself raises
`ScorerError` and stops the run.

Workers are pebble's. pebble ends a job's wait when its worker exits with a non-zero
status and when its deadline passes, but not when the worker exits with status 0 (a C
library calling ``exit(0)``) or dies before its acknowledgement is read: so every worker also
announces the job it begins on a pipe of ours, and a job whose worker is gone is failed here.
"""

from __future__ import annotations

import contextlib
import math
import multiprocessing
import os
import pickle
import signal
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, wait
from concurrent.futures.process import BrokenProcessPool
from types import TracebackType
from typing import Any, Self

from torch import Tensor

from casbo.errors import ScorerError
from casbo.rollout import Sample
from casbo.scorer import Reply, Scorer, exception_message, read_replies
from casbo.worker_process import (
    BEGUN,
    EVENT,
    READY,
    SetupProblem,
    process_exists,
    score_one,
    start,
    timed,
)

#: How often a pool that dies without one reply is rebuilt before the run stops.
REBUILDS = 3
#: The same for a pool of which no worker was ever ready.
FIRST_REBUILDS = 1
#: Seconds a dead worker's last reply may still be on its way.
GRACE = 0.5


class Scoring(ABC):
    """Somewhere to send jobs; a context manager that leaves no process behind."""

    @abstractmethod
    def arrivals(self, jobs: Mapping[int, Sample]) -> Iterator[Sequence[tuple[int, Reply]]]:
        """Yield the (key, reply) of every job, those that arrive together in one sequence.

        Raises:
            ScorerError: When the scorer cannot be set up at all.
        """

    def score(self, jobs: Mapping[int, Sample]) -> Iterator[tuple[int, Reply]]:
        """The same, one by one."""
        for arrived in self.arrivals(jobs):
            yield from arrived

    @abstractmethod
    def close(self) -> None:
        """Stop at once; jobs in flight are abandoned."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def open_scoring(scorer: Scorer, *, workers: int = 0, deadline: float | None = None) -> Scoring:
    """In-process scoring for ``workers=0``, else a pool of that many worker processes.

    Arguments:
        workers: Number of worker processes.
        deadline: Seconds a worker may take for one candidate, or None for no limit.

    Raises:
        ScorerError: On a negative count, a deadline without workers, or a scorer that
            cannot be sent to another process.
    """
    if not callable(scorer):
        raise ScorerError(
            f"Expected the scorer to be callable (samples -> scores), got {type(scorer).__name__}."
        )
    if workers < 0:
        raise ScorerError(f"Expected workers >= 0, got {workers}.")
    if deadline is not None and not deadline > 0:
        raise ScorerError(f"Expected a deadline > 0 seconds, got {deadline}.")
    if workers:
        return WorkerPool(scorer, workers, deadline)
    if deadline is not None:
        raise ScorerError(
            f"Expected workers >= 1 with deadline={deadline}, got 0: only a worker process can be "
            "stopped in the middle of a score."
        )
    return InProcess(scorer)


class InProcess(Scoring):
    """One batched call in this process: for fast scorers, torch modules above all.

    When the call raises, the scorer is called again sample by sample, so that one bad
    candidate fails alone; those replies count two attempts.
    """

    def __init__(self, scorer: Scorer) -> None:
        self._scorer = scorer
        self._prepared = False

    def arrivals(self, jobs: Mapping[int, Sample]) -> Iterator[Sequence[tuple[int, Reply]]]:
        if not jobs:
            return
        self._prepare()
        samples = list(jobs.values())
        begun = time.perf_counter()
        try:
            answer = self._scorer(samples)
        except Exception as error:  # noqa: BLE001 - the scorer is the user's code
            for alone in self._one_by_one(jobs, error):
                yield [alone]
            return
        seconds = (time.perf_counter() - begun) / len(samples)
        try:
            replies = read_replies(answer, len(samples))
        except ScorerError as error:
            replies = [Reply(message=str(error))] * len(samples)
        yield [
            (key, Reply(reply.components, reply.message, seconds))
            for key, reply in zip(jobs, replies, strict=True)
        ]

    def close(self) -> None:
        pass

    def _prepare(self) -> None:
        prepare = getattr(self._scorer, "prepare", None)
        if not self._prepared and callable(prepare):
            try:
                prepare()
            except Exception as error:
                raise ScorerError(_setup_message(exception_message(error))) from error
        self._prepared = True

    def _one_by_one(
        self, jobs: Mapping[int, Sample], error: Exception
    ) -> Iterator[tuple[int, Reply]]:
        if len(jobs) == 1:
            yield next(iter(jobs)), Reply(message=exception_message(error))
            return
        for key, sample in jobs.items():
            reply = timed(lambda sample=sample: read_replies(self._scorer([sample]), 1)[0])  # type: ignore[misc]
            yield key, Reply(reply.components, reply.message, reply.seconds, attempts=2)


class WorkerPool(Scoring):
    """Worker processes that can be killed one candidate at a time.

    Start-up (imports, ``scorer.prepare()``) is not counted by the deadline. The scorer and
    the samples travel by pickle between this machine's processes; nothing pickled is stored.
    """

    def __init__(self, scorer: Scorer, workers: int, deadline: float | None) -> None:
        if getattr(multiprocessing.process.current_process(), "_inheriting", False):
            raise ScorerError(_GUARD_YOUR_SCRIPT)
        try:
            self._scorer = pickle.dumps(scorer)
        except Exception as error:
            raise ScorerError(
                f"Expected a scorer that can be sent to a worker process, got {scorer!r:.80} "
                f"({exception_message(error)}): define it at the top level of a module, or use "
                "workers=0."
            ) from error
        self._workers = workers
        self._effort = getattr(scorer, "effort", None)
        self._deadline = deadline
        self._context = multiprocessing.get_context("forkserver")
        # the fork server imports torch and casbo once; every (re)started worker is a cheap fork
        self._context.set_forkserver_preload(["casbo.worker_process"])
        self._pool: Any = None
        self._reader, self._writer = self._context.Pipe(duplex=False)
        os.set_blocking(self._reader.fileno(), False)
        self._unread = b""
        self._ready = False
        self._begun: dict[int, int] = {}  # key of a job -> id of the process that began it

    def arrivals(self, jobs: Mapping[int, Sample]) -> Iterator[Sequence[tuple[int, Reply]]]:
        pending, unpicklable = _pickle_samples(_longest_first(jobs, self._effort))
        if unpicklable:
            yield list(unpicklable.items())
        rebuilds = 0
        while pending:
            for key, reply in self._round(pending):
                rebuilds = 0
                del pending[key]
                yield [(key, reply)]
            if pending:
                rebuilds += 1
                self._stop_pool()
                if rebuilds > (REBUILDS if self._ready else FIRST_REBUILDS):
                    raise ScorerError(_DYING if self._ready else _NEVER_STARTED)

    def close(self) -> None:
        self._stop_pool()
        self._reader.close()
        self._writer.close()

    def _round(self, pending: Mapping[int, bytes]) -> Iterator[tuple[int, Reply]]:
        """Replies until all jobs are done or the pool has broken."""
        pool = self._start_pool()
        self._begun.clear()
        futures: dict[Future[Any], int] = {}
        with contextlib.suppress(RuntimeError):  # raised when the pool breaks meanwhile
            for key, sample in pending.items():
                futures[pool.schedule(score_one, (key, sample), timeout=self._deadline)] = key
        missed: dict[int, float] = {}  # key -> when its worker was first seen to be gone
        while futures:
            done, _ = wait(futures, timeout=0.1, return_when=FIRST_COMPLETED)
            self._read_events()
            for future in done:
                key = futures.pop(future)
                reply = self._outcome(future, key)
                if reply is not None:
                    yield key, reply
            for future, key in self._abandoned(futures, missed):
                del futures[future]
                future.cancel()
                yield key, Reply(message=_died("without a word (exit status 0?)"))
            if not pool.active:
                for key in list(futures.values()):
                    if key in self._begun:
                        yield key, Reply(message=_died("and the pool with it"))
                return

    def _outcome(self, future: Future[Any], key: int) -> Reply | None:
        """A finished job's reply, or None when it never began and must be sent again."""
        from pebble import ProcessExpired

        try:
            answer = future.result()
        except TimeoutError:
            return Reply(
                message=f"no reply within the deadline of {self._deadline:g} s",
                seconds=self._deadline or 0.0,
            )
        except ProcessExpired as error:
            return Reply(message=_died(_exit_status(error.exitcode)))
        except (BrokenProcessPool, CancelledError):
            return Reply(message=_died("and the pool with it")) if key in self._begun else None
        except Exception as error:  # noqa: BLE001 - e.g. a reply that does not unpickle here
            return Reply(message=exception_message(error))
        if isinstance(answer, SetupProblem):
            raise ScorerError(_setup_message(answer.message))
        assert isinstance(answer, Reply)
        return answer

    def _abandoned(
        self, futures: Mapping[Future[Any], int], missed: dict[int, float]
    ) -> list[tuple[Future[Any], int]]:
        """Jobs whose worker has been gone for longer than a reply may take to arrive."""
        now = time.monotonic()
        lost = []
        for future, key in futures.items():
            process = self._begun.get(key)
            if process is None or future.done() or process_exists(process):
                continue
            if now - missed.setdefault(key, now) > GRACE:
                lost.append((future, key))
        return lost

    def _read_events(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while chunk := os.read(self._reader.fileno(), 65536):
                self._unread += chunk
        whole = len(self._unread) - len(self._unread) % EVENT.size
        for kind, process, key in EVENT.iter_unpack(self._unread[:whole]):
            self._ready |= kind == READY
            if kind == BEGUN:
                self._begun[key] = process
        self._unread = self._unread[whole:]

    def _start_pool(self) -> Any:  # noqa: ANN401 - pebble has no types
        from pebble import ProcessPool

        if self._pool is None or not self._pool.active:
            self._stop_pool()
            self._pool = ProcessPool(
                max_workers=self._workers,
                initializer=start,
                initargs=(self._scorer, self._writer, os.getpid()),
                context=self._context,
            )
        return self._pool

    def _stop_pool(self) -> None:
        if self._pool is not None:
            pool, self._pool = self._pool, None
            pool.stop()
            pool.join()


def _longest_first(jobs: Mapping[int, Sample], effort: Any) -> dict[int, Sample]:  # noqa: ANN401
    """The jobs by falling effort, so that none that takes long is begun when others are done."""
    if not callable(effort):
        return dict(jobs)
    efforts = {key: _number_or_zero(effort, sample) for key, sample in jobs.items()}
    return {key: jobs[key] for key in sorted(jobs, key=lambda key: -efforts[key])}


def _number_or_zero(effort: Any, sample: Sample) -> float:  # noqa: ANN401
    """An estimate is no reason to lose a candidate."""
    try:
        estimate = float(effort(sample))
    except Exception:  # noqa: BLE001 - the scorer is the user's code
        return 0.0
    return estimate if math.isfinite(estimate) else 0.0


def _pickle_samples(
    jobs: Mapping[int, Sample],
) -> tuple[dict[int, bytes], dict[int, Reply]]:
    """The samples as bytes, and a failed reply for each that cannot be sent."""
    pickled: dict[int, bytes] = {}
    failed: dict[int, Reply] = {}
    for key, sample in jobs.items():
        # a row of a batch would carry the whole batch's memory along
        own = sample.detach().cpu().clone() if isinstance(sample, Tensor) else sample
        try:
            pickled[key] = pickle.dumps(own)
        except Exception as error:  # noqa: BLE001 - a sample's own __reduce__ may raise anything
            reason = exception_message(error)
            failed[key] = Reply(message=f"the sample cannot be sent to a worker: {reason}")
    return pickled, failed


def _exit_status(code: int) -> str:
    if code < 0:
        with contextlib.suppress(ValueError):
            return f"by {signal.Signals(-code).name}"
    return f"with exit status {code}"


def _died(how: str) -> str:
    return f"the worker process died {how}"


def _setup_message(reason: str) -> str:
    return f"The scorer could not be set up in a worker: {reason}. No query was sent to it."


_GUARD_YOUR_SCRIPT = (
    "Worker processes import the script that starts them: put the call of casbo.steer under "
    "`if __name__ == '__main__':`, or use workers=0."
)
_NEVER_STARTED = (
    f"The worker processes die before they are ready (tried {FIRST_REBUILDS + 1} times). If their "
    f"output above does not say why: {_GUARD_YOUR_SCRIPT}"
)
_DYING = (
    f"The worker processes die without beginning a job ({REBUILDS + 1} times in a row); "
    "their output above may say why (out of memory?)."
)
