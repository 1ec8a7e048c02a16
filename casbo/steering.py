"""Steering: noise -> rollout -> samples -> scorer -> scores -> update -> controls -> noise.

The loop, and nothing else. Every iteration asks the optimiser for a population of noise,
rolls it out, sends the samples to the scorer through the ledger, tells the scores and
writes a checkpoint. All randomness is drawn in ask, from the seed, so the ledger and the
seed determine the whole course of a run: one that was killed loads its last good
checkpoint, takes the scores that are in the ledger, and goes on bit by bit as if it had
not been (on CPU).
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from torch import Tensor

from casbo import checkpoint
from casbo.archive import Archive
from casbo.buckets import Buckets
from casbo.errors import ScorerError
from casbo.gallery import Gallery
from casbo.ledger import FINAL, Batch, Entry, Ledger
from casbo.objective import FirstComponent, Objective, SingleComponent
from casbo.optimizer import Optimizer
from casbo.picture import picture_uri
from casbo.population import Population, sketch
from casbo.progress import Progress, open_progress
from casbo.queries import Queries
from casbo.records import Record, summarise
from casbo.result import Result, Vault
from casbo.rollout import Rollout, Sample
from casbo.run_config import Plan, describe, run_config
from casbo.run_folder import RunFolder
from casbo.scorer import Scorer, scorer_direction
from casbo.spaces import Space
from casbo.stand_in import StandIn
from casbo.telling import Telling
from casbo.workers import Scoring, open_scoring

if TYPE_CHECKING:
    from casbo.controls import Controls

#: A measure of an iteration's final samples, such as their diversity.
Monitor = Callable[[Sequence[Sample]], float]

#: Queries that must be in before a run may stop because too many failed.
FAILURES_COUNT_FROM = 32


def steer(
    rollout: Rollout,
    scorer: Scorer,
    *,
    queries: int,
    progress: bool | None = None,
    **options: Any,  # noqa: ANN401
) -> Result:
    """Steer a model towards better scores, within a budget of score queries.

    Arguments:
        rollout: The model, as a function of its noise.
        scorer: What is asked of each sample.
        queries: The budget: at most this many samples are scored, in whole iterations.
        progress: Show progress on stderr (None: only while somebody may be looking).
        options: Everything `Steering` takes: ``population``, ``run``, ``seed``,
            ``direction``, ``objective``, ``space``, ``workers``, ``deadline``, ...

    Called again with the same arguments and the same ``run``, it goes on where that run
    stopped; with a larger budget it extends it.

    Raises:
        CasboError: On settings that do not fit together, an unusable run folder, or a
            scorer that cannot be set up or fails too often.
    """
    with Steering(rollout, scorer, queries=queries, progress=progress, **options) as steering:
        for _ in steering:
            pass
        return steering.finish()


class Steering:
    """A run as an iterator of `Record`s, one per iteration; also a context manager.

    Arguments:
        rollout: The model, as a function of its noise.
        scorer: Samples -> one number each, or named components; NaN = failed.
        queries: The budget of score queries. A population of N with S ``score_steps``
            costs N (1 + S) per iteration; a last part that is too small for a whole
            iteration is left unspent.
        population: N candidates per iteration, even; None chooses one from the budget.
        run: The run folder; None keeps everything in memory.
        seed: Determines the whole course of the run.
        direction: "minimize" or "maximize"; None takes the scorer's own.
        objective: How several named components add up to the number that is steered.
        space: The control space; None takes the rollout's own.
        rule: The update rule.
        covariance: The covariance type, as for `casbo.Optimizer`.
        score_steps: Steps k whose predicted clean samples are scored as well, for a
            cumulative score; each is a query.
        heldout: A second scorer that is reported and never steered. It is asked about
            ``heldout_count`` candidates of every iteration; these calls are not in
            ``queries`` (the ledger counts them by themselves, as kind "heldout").
        heldout_count: Candidates per iteration for the held-out scorer.
        workers: Scoring processes; 0 scores in this process, in batches.
        deadline: Seconds per candidate, with workers.
        monitors: Named measures of each iteration's N final samples, samples -> a number; they
            are recorded beside the components and never steered.
        gallery: Pictures of this many candidates of every iteration are kept for the report.
        buckets: A diversity filter; candidates whose bucket is full are told as failed.
        stand_in: What is guessed at unfinished steps instead of scoring them: no queries.
        keep: How many of the best candidates keep their noise.
        failure_limit: The run stops with the cause when more than this share of all
            queries so far has failed.
        domain: The entry for the config that lets the command line rebuild the problem
            (`casbo.domains.Domain.config`).
        progress: Show progress on stderr.
        optimizer: What makes the optimiser: `casbo.Optimizer`, or another class that takes its
            arguments and has its ask, tell, controls, iteration and state.
        optimizer_options: Passed on to it.
    """

    def __init__(
        self,
        rollout: Rollout,
        scorer: Scorer,
        *,
        queries: int,
        population: int | None = None,
        run: str | Path | None = None,
        seed: int = 0,
        direction: str | None = None,
        objective: Objective | None = None,
        space: Space | None = None,
        rule: str = "default",
        covariance: Any = "auto",  # noqa: ANN401
        score_steps: Sequence[int] = (),
        heldout: Scorer | None = None,
        heldout_count: int = 4,
        workers: int = 0,
        deadline: float | None = None,
        monitors: Mapping[str, Monitor] | None = None,
        gallery: int = 0,
        buckets: Buckets | None = None,
        stand_in: StandIn | None = None,
        keep: int = 20,
        failure_limit: float = 0.5,
        domain: Mapping[str, Any] | None = None,
        progress: bool | None = None,
        optimizer: Callable[..., Optimizer] | None = None,
        **optimizer_options: Any,  # noqa: ANN401
    ) -> None:
        self.rollout = rollout
        self.plan = Plan(
            shape=rollout.shape,
            queries=queries,
            population=population,
            seed=seed,
            direction=scorer_direction(scorer, direction),
            rule=rule,
            covariance=covariance,
            space=rollout.space() if space is None else space,
            score_steps=tuple(score_steps),
            heldout_count=heldout_count if heldout is not None else 0,
            workers=workers,
            deadline=deadline,
            keep=keep,
            failure_limit=failure_limit,
            optimizer_options=optimizer_options,
        )
        self.objective = SingleComponent() if objective is None else objective
        self._telling = Telling(self.plan, buckets, stand_in)
        self.optimizer = (optimizer or Optimizer)(**self.plan.optimizer_arguments())
        self.history: list[Record] = []
        self.warnings: list[str] = []
        self._archive = Archive(keep, self.plan.direction)
        self._samples: dict[tuple[int, int], Sample] = {}
        self._monitors, self._shown = dict(monitors or {}), gallery
        self._config = run_config(
            self.plan,
            rollout=rollout,
            scorer=scorer,
            objective=self.objective,
            heldout=heldout,
            domain=domain,
        )
        self._config |= describe(self._telling.describe())
        self._closed = False
        self._folder: RunFolder | None = None
        self._ledger: Ledger | None = None
        self._scorings: list[Scoring] = []
        self._progress: Progress | None = None
        try:
            self._open(run, scorer, heldout, progress)
        except BaseException:
            self.close()
            raise

    @property
    def queries(self) -> int:
        """Score queries completed so far; held-out ones are not among them."""
        return self.ledger.tally().completed

    @property
    def ledger(self) -> Ledger:
        """The ledger of every query of this run."""
        assert self._ledger is not None
        return self._ledger

    @property
    def controls(self) -> Controls:
        """What has been learned so far."""
        return self.optimizer.controls

    @property
    def done(self) -> bool:
        """Whether the budget has no room for another whole iteration."""
        return self.optimizer.iteration >= self.plan.iterations

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Record:
        if self._closed or self.done:
            raise StopIteration
        return self._iterate()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def result(self) -> Result:
        """What the run has found so far; nothing is written and nothing is scored."""
        return Result(
            rollout=self.rollout,
            controls=self.controls,
            history=tuple(self.history),
            run=None if self._folder is None else self._folder.path,
            config=self._config,
            vault=Vault(self.rollout, self._archive, self._samples),
        )

    def finish(self) -> Result:
        """The result, with controls, best samples and report written into the run folder."""
        result = self.result()
        if self._folder is not None:
            from casbo.report import write_report

            self.controls.save(self._folder.controls)
            result.export_best(self._folder.samples)
            write_report(result, self.ledger, self._folder)
        return result

    def close(self) -> None:
        """Stop the workers and release the run folder; the run can be resumed."""
        if self._closed:
            return
        self._closed = True
        if self._progress is not None:
            self._progress.close()
        for scoring in self._scorings:
            scoring.close()
        if self._ledger is not None:
            self._ledger.close()
        if self._folder is not None:
            self._folder.close()

    def _open(
        self,
        run: str | Path | None,
        scorer: Scorer,
        heldout: Scorer | None,
        progress: bool | None,
    ) -> None:
        # scorers first: what is wrong with them is said before anything is written
        scoring = self._open_scoring(scorer)
        heldout_scoring = None if heldout is None else self._open_scoring(heldout)
        if run is not None:
            self._folder = RunFolder(run)
            self._folder.open(self._config)
        self._ledger = Ledger() if self._folder is None else self._folder.open_ledger()
        self._load_checkpoint()
        self._progress = open_progress(progress, self.plan, self._ledger.tally().completed)
        identify = self.rollout.identify
        replied = self._progress.replied
        self._steered = Queries(self._ledger, scoring, self.objective, identify, replied)
        self._heldout: Queries | None = None
        if heldout_scoring is not None:
            self._heldout = Queries(self._ledger, heldout_scoring, FirstComponent(), identify)

    def _open_scoring(self, scorer: Scorer) -> Scoring:
        scoring = open_scoring(scorer, workers=self.plan.workers, deadline=self.plan.deadline)
        self._scorings.append(scoring)
        return scoring

    def _load_checkpoint(self) -> None:
        """Go back to the last good checkpoint; the ledger has the scores of what follows."""
        if self._folder is None:
            return
        loaded = checkpoint.load_latest(self._folder.checkpoints)
        for problem in loaded.problems:
            self._warn(
                f"{problem} Going on from iteration {loaded.generation}: the ledger has all "
                "scores, so no query is lost or repeated."
            )
        if loaded.state is not None:
            parts = checkpoint.split(loaded.state)
            self.optimizer.load_state_dict(parts["optimizer"])
            self._archive = self._archive.with_state(parts.get("archive", {}))
            self._telling.load(parts.get("telling", {}))
        records = (Record.from_json(values) for values in self.ledger.iterations())
        self.history = [record for record in records if record.iteration < loaded.generation]

    def _iterate(self) -> Record:
        begun = time.perf_counter()
        iteration = self.optimizer.iteration
        noise = self.optimizer.ask()
        self.ledger.claim_population(iteration, sketch(noise))
        rollout, telling = self.rollout.at(iteration), self._telling
        population = Population(rollout, noise, self.plan.score_steps, telling.steps)
        entries = self._steered.score(
            Batch("steering", iteration), population.slots, population.samples
        )
        heldout = self._score_heldout(iteration, population)
        telling.tell(self.optimizer, entries, population, self.ledger)
        finals = [entries[(number, FINAL)] for number in range(len(noise))]
        self._keep(iteration, noise, finals, population)
        record = summarise(
            iteration=iteration,
            tally=self.ledger.tally(until=iteration),
            best=self._archive.best,
            finals=finals,
            heldout=heldout,
            measured=self._observe(iteration, population),
            noise=noise,
            controls=self.controls,
            seconds=time.perf_counter() - begun,
        )
        self._write(record)
        self._check_failures(record)
        return record

    def _score_heldout(self, iteration: int, population: Population) -> list[Entry]:
        if self._heldout is None:
            return []
        slots = [(number, FINAL) for number in range(self.plan.heldout_count)]
        batch = Batch("heldout", iteration)
        return list(self._heldout.score(batch, slots, population.samples).values())

    def _observe(self, iteration: int, population: Population) -> dict[str, float]:
        """What the monitors say of an iteration's samples; keeps pictures for the report."""
        kept = self._folder is not None and self._shown > 0
        if not (self._monitors or kept):
            return {}
        made = population.samples()
        samples = [made[(number, FINAL)] for number in range(self.plan.population_size)]
        if kept and self._folder is not None:
            uris = [picture_uri(self.rollout.picture(s)) for s in samples[: self._shown]]
            shown = [uri for uri in uris if uri is not None]
            Gallery(self._folder.gallery).add(iteration, shown)
        return {name: float(measure(samples)) for name, measure in self._monitors.items()}

    def _keep(
        self, iteration: int, noise: Tensor, finals: Sequence[Entry], population: Population
    ) -> None:
        self._archive = self._archive.with_population(iteration, noise, finals)
        samples = self._samples | {
            (iteration, number): sample
            for (number, step), sample in population.made.items()
            if step == FINAL
        }
        kept = {entry.place for entry in self._archive.kept}
        self._samples = {place: sample for place, sample in samples.items() if place in kept}

    def _write(self, record: Record) -> None:
        """Record first, checkpoint second: a kill in between repeats neither query nor row."""
        self.ledger.record_iteration(record.iteration, record.to_json())
        self.history.append(record)
        if self._folder is not None:
            state = checkpoint.join(
                optimizer=self.optimizer.state_dict(),
                archive=self._archive.state(),
                telling=self._telling.state(),
            )
            checkpoint.save(self._folder.checkpoints, record.iteration + 1, state)
        if self._progress is not None:
            self._progress.recorded(record)

    def _check_failures(self, record: Record) -> None:
        share = record.failed / max(1, record.queries)
        if record.queries < FAILURES_COUNT_FROM or share <= self.plan.failure_limit:
            return
        causes = "; ".join(f"{times} x {text}" for text, times in self.ledger.failures(limit=3))
        raise ScorerError(
            f"{record.failed} of {record.queries} queries failed, more than the limit of "
            f"{self.plan.failure_limit:.0%} ({causes}). Fix the cause and resume the run, or "
            "allow more with failure_limit=."
        )

    def _warn(self, message: str) -> None:
        self.warnings.append(message)
        warnings.warn(message, stacklevel=4)
