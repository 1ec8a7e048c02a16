"""The ledger: one row per query, written before it is sent and completed after it returns.

SQLite in WAL mode with foreign keys. A query is keyed by what it scores: its kind, the
iteration, the candidate's number in it and the step (-1 for the final sample, k for the
clean sample predicted after step k). On that key rests the promise that a resumed run
neither loses nor repeats a score: a row that is complete is never sent again, a row that
was only sent is sent once more and counts one more attempt.

Scores are stored as 8-byte floats, so they are read back bit by bit; NULL stands for NaN.
"""

from __future__ import annotations

import contextlib
import json
import math
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from casbo.errors import RunFolderError
from casbo.scorer import Reply

Kind = Literal["steering", "heldout", "evaluation"]

#: The step of a final sample, as opposed to a predicted clean sample.
FINAL = -1
#: PRAGMA user_version of the ledgers this version writes and reads.
SCHEMA_VERSION = 1
#: PRAGMA application_id, the letters "CASB".
APPLICATION_ID = 0x43415342

#: How a transaction begins, ends and is undone, by itself and as a part of another.
_WHOLE = ("BEGIN IMMEDIATE", "COMMIT", "ROLLBACK")
_PART = ("SAVEPOINT part", "RELEASE part", "ROLLBACK TO part")

_SCHEMA = """
CREATE TABLE candidate (
    id        INTEGER PRIMARY KEY,
    kind      TEXT NOT NULL CHECK (kind IN ('steering', 'heldout', 'evaluation')),
    label     TEXT NOT NULL,
    iteration INTEGER NOT NULL,
    number    INTEGER NOT NULL,
    UNIQUE (kind, label, iteration, number)
);
CREATE TABLE query (
    id           INTEGER PRIMARY KEY,
    candidate_id INTEGER NOT NULL REFERENCES candidate (id),
    step         INTEGER NOT NULL,
    sample       TEXT,
    status       TEXT NOT NULL CHECK (status IN ('sent', 'scored', 'failed')),
    attempts     INTEGER NOT NULL,
    score        REAL,
    message      TEXT,
    seconds      REAL,
    sent_at      REAL NOT NULL,
    completed_at REAL,
    UNIQUE (candidate_id, step),
    CHECK ((status = 'scored') = (score IS NOT NULL))
);
CREATE TABLE component (
    query_id INTEGER NOT NULL REFERENCES query (id),
    name     TEXT NOT NULL,
    value    REAL,
    PRIMARY KEY (query_id, name)
) WITHOUT ROWID;
CREATE TABLE iteration (
    number INTEGER PRIMARY KEY,
    record TEXT NOT NULL
);
CREATE TABLE population (
    iteration INTEGER PRIMARY KEY,
    sketch    TEXT NOT NULL
);
CREATE TABLE evaluation (
    label  TEXT PRIMARY KEY,
    config TEXT NOT NULL
);
"""


@dataclass(frozen=True)
class Batch:
    """The queries that are sent together: a population of an iteration, or an evaluation."""

    kind: Kind = "steering"
    iteration: int = 0
    label: str = ""


#: Within a batch: the candidate's number and the step scored.
Slot = tuple[int, int]


@dataclass(frozen=True)
class Entry:
    """A completed query: its score (NaN = failed), components and message."""

    score: float
    components: Mapping[str, float] = field(default_factory=dict)
    message: str | None = None
    seconds: float = 0.0

    @property
    def failed(self) -> bool:
        """Whether there is no score."""
        return math.isnan(self.score)


@dataclass(frozen=True)
class Tally:
    """Counts of completed queries."""

    completed: int = 0
    failed: int = 0


class Ledger:
    """The queries of one run.

    Arguments:
        path: The SQLite file, made when absent; None keeps the ledger in memory.

    Raises:
        RunFolderError: When the file is no ledger, was written by a newer casbo, or
            cannot be read or written.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        with self._reported():
            self._db = sqlite3.connect(":memory:" if path is None else path, isolation_level=None)
            try:
                self._open()
            except BaseException:
                self._db.close()
                raise

    def close(self) -> None:
        """Close the file; a ledger that is closed twice stays closed."""
        self._db.close()

    def send(
        self, batch: Batch, slots: Iterable[Slot], names: Mapping[Slot, str | None] | None = None
    ) -> dict[int, Slot]:
        """Write one row per query before it is sent; returns the rows' ids.

        A row that was sent before and has no reply counts one more attempt.

        Arguments:
            batch: What the queries belong to.
            slots: (candidate number, step) of each query.
            names: What is scored, in the rollout's own words (`Rollout.identify`).

        Raises:
            RunFolderError: When one of the queries is already complete.
        """
        now = time.time()
        with self._transaction():
            return {
                self._send_one(batch, slot, (names or {}).get(slot), now): slot for slot in slots
            }

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Force to disk at once what is written inside, not one by one.

        A kill inside loses all of it; an error inside, what it interrupted and nothing before.
        """
        with self._reported():
            self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        finally:
            with self._reported():
                if self._db.in_transaction:  # a full disk may have ended it
                    self._db.execute("COMMIT")

    def complete(self, query: int, reply: Reply, score: float) -> None:
        """Write a query's reply; the same reply told twice is written once.

        Arguments:
            query: The row's id, from `send`.
            reply: What the scorer returned.
            score: The objective's value, NaN = failed.

        Raises:
            RunFolderError: When the row is complete with another score, or is not there.
        """
        number = None if math.isnan(score) else float(score)
        status = "failed" if number is None else "scored"
        with self._transaction():
            changed = self._db.execute(
                "UPDATE query SET status = ?, score = ?, message = ?, seconds = ?,"
                " completed_at = ?, attempts = attempts + ? WHERE id = ? AND status = 'sent'",
                (
                    status,
                    number,
                    reply.message,
                    reply.seconds,
                    time.time(),
                    reply.attempts - 1,
                    query,
                ),
            ).rowcount
            if changed:
                self._db.executemany(
                    "INSERT INTO component (query_id, name, value) VALUES (?, ?, ?)",
                    [
                        (query, name, None if math.isnan(value) else float(value))
                        for name, value in reply.components.items()
                    ],
                )
                return
            row = self._db.execute("SELECT status, score FROM query WHERE id = ?", (query,))
            known = row.fetchone()
        if known != (status, number):
            raise RunFolderError(
                f"Expected one reply for query {query} of {self._name}, got a second one with "
                f"another score: ledger {known}, reply {(status, number)}."
            )

    def entries(self, batch: Batch) -> dict[Slot, Entry]:
        """The completed queries of a batch."""
        with self._reported():
            rows = self._db.execute(
                "SELECT query.id, number, step, score, message, seconds FROM query"
                " JOIN candidate ON candidate.id = candidate_id"
                " WHERE kind = ? AND label = ? AND iteration = ? AND status <> 'sent'",
                (batch.kind, batch.label, batch.iteration),
            ).fetchall()
            return {
                (number, step): Entry(_nan(score), self._components(query), message, seconds or 0)
                for query, number, step, score, message, seconds in rows
            }

    def tally(self, kind: Kind = "steering", until: int | None = None) -> Tally:
        """How many queries of a kind are complete, and how many of these failed.

        Arguments:
            kind: The kind of query.
            until: The last iteration that counts; None counts all.
        """
        last = 2**62 if until is None else until
        with self._reported():
            row = self._db.execute(
                "SELECT COUNT(*), COALESCE(SUM(status = 'failed'), 0) FROM query"
                " JOIN candidate ON candidate.id = candidate_id"
                " WHERE kind = ? AND iteration <= ? AND status <> 'sent'",
                (kind, last),
            ).fetchone()
        return Tally(completed=row[0], failed=row[1])

    def failures(self, kind: Kind = "steering", limit: int = 5) -> list[tuple[str, int]]:
        """The commonest messages of failed queries with their counts."""
        with self._reported():
            rows = self._db.execute(
                "SELECT COALESCE(message, 'no message'), COUNT(*) AS times FROM query"
                " JOIN candidate ON candidate.id = candidate_id"
                " WHERE kind = ? AND status = 'failed'"
                " GROUP BY message ORDER BY times DESC, message LIMIT ?",
                (kind, limit),
            ).fetchall()
        return [(message, times) for message, times in rows]

    def best(self, direction: str, count: int) -> list[tuple[int, int, float, dict[str, float]]]:
        """The best final samples of a steering run, best first; ties go to the earlier one.

        Returns:
            (iteration, number, score, components) of each.
        """
        order = "DESC" if direction == "maximize" else "ASC"
        with self._reported():
            rows = self._db.execute(
                "SELECT iteration, number, score, query.id FROM query"
                " JOIN candidate ON candidate.id = candidate_id"
                " WHERE kind = 'steering' AND step = ? AND status = 'scored'"
                f" ORDER BY score {order}, iteration, number LIMIT ?",
                (FINAL, count),
            ).fetchall()
            return [(i, n, score, self._components(query)) for i, n, score, query in rows]

    def rows(self, kind: Kind = "steering", label: str = "") -> Iterator[dict[str, Any]]:
        """Every query of a kind in order of its key, with its components, for tables."""
        with self._reported():
            rows = self._db.execute(
                "SELECT query.id, iteration, number, step, sample, status, attempts, score, message"
                " FROM query JOIN candidate ON candidate.id = candidate_id"
                " WHERE kind = ? AND label = ? ORDER BY iteration, number, step",
                (kind, label),
            ).fetchall()
            columns = [
                "iteration",
                "number",
                "step",
                "sample",
                "status",
                "attempts",
                "score",
                "message",
            ]
            for query, *values in rows:
                row = dict(zip(columns, values, strict=True))
                yield row | {"components": self._components(query)}

    def record_iteration(self, number: int, record: Mapping[str, Any]) -> None:
        """Write an iteration's record; one that is there already stays as it is."""
        with self._transaction():
            self._db.execute(
                "INSERT OR IGNORE INTO iteration (number, record) VALUES (?, ?)",
                (number, json.dumps(record, allow_nan=False)),
            )

    def iterations(self) -> list[dict[str, Any]]:
        """The records of all iterations, in order."""
        with self._reported():
            rows = self._db.execute("SELECT record FROM iteration ORDER BY number").fetchall()
        return [json.loads(record) for (record,) in rows]

    def claim_population(self, iteration: int, sketch: Sequence[float]) -> None:
        """Tie an iteration to the noise it scores, by some of its numbers.

        Raises:
            RunFolderError: When the ledger's scores of this iteration belong to other noise
                (another version of casbo drew it): taking them would misattribute them.
        """
        with self._transaction():
            self._db.execute(
                "INSERT OR IGNORE INTO population VALUES (?, ?)",
                (iteration, json.dumps(list(sketch))),
            )
            (text,) = self._db.execute(
                "SELECT sketch FROM population WHERE iteration = ?", (iteration,)
            ).fetchone()
        known = json.loads(text)
        # rounding differs between devices, other noise differs in every number
        if len(known) != len(sketch) or any(
            not math.isclose(a, b, rel_tol=1e-3, abs_tol=1e-3)
            for a, b in zip(known, sketch, strict=True)
        ):
            raise RunFolderError(
                f"Expected iteration {iteration} of {self._name} to score the noise it scored "
                "before, got other noise: this version of casbo does not reproduce that run. Go "
                "on with the version named in the run's config.json, or start another run."
            )

    def claim_evaluation(self, label: str, config: Mapping[str, Any]) -> None:
        """Tie an evaluation's label to its settings.

        Raises:
            RunFolderError: When the label is taken by an evaluation with other settings.
        """
        text = json.dumps(config, sort_keys=True, allow_nan=False)
        with self._transaction():
            self._db.execute("INSERT OR IGNORE INTO evaluation VALUES (?, ?)", (label, text))
            (known,) = self._db.execute(
                "SELECT config FROM evaluation WHERE label = ?", (label,)
            ).fetchone()
        if known != text:
            raise RunFolderError(
                f"Expected the evaluation {label!r} of {self._name} to have the settings {known}, "
                f"got {text}. Use another label."
            )

    @property
    def _name(self) -> str:
        return "the ledger in memory" if self.path is None else str(self.path)

    def _open(self) -> None:
        self._db.execute("PRAGMA foreign_keys = ON")
        if not any(self._identity()):
            self._db.execute("PRAGMA journal_mode = WAL")
            with self._transaction():
                if not any(self._identity()):  # another process may have been quicker
                    self._create()
        version, application, _ = self._identity()
        if application != APPLICATION_ID:
            raise RunFolderError(f"Expected {self._name} to be a ledger of casbo; it is not one.")
        if version != SCHEMA_VERSION:
            raise RunFolderError(
                f"Expected {self._name} to have schema version {SCHEMA_VERSION}, got {version}: "
                "it was written by another version of casbo. Update casbo, or use the one named "
                "in the run's config.json."
            )
        # a reply that was paid for outlives a power cut, not just a killed process
        self._db.execute("PRAGMA synchronous = FULL")

    def _identity(self) -> tuple[int, int, int]:
        """Schema version, application id and number of tables: all 0 in a new file."""
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        (application,) = self._db.execute("PRAGMA application_id").fetchone()
        (tables,) = self._db.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()
        return version, application, tables

    def _create(self) -> None:
        for statement in _SCHEMA.split(";\n"):
            self._db.execute(statement)
        self._db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        self._db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")

    def _send_one(self, batch: Batch, slot: Slot, name: str | None, now: float) -> int:
        number, step = slot
        key = (batch.kind, batch.label, batch.iteration, number)
        self._db.execute(
            "INSERT OR IGNORE INTO candidate (kind, label, iteration, number) VALUES (?, ?, ?, ?)",
            key,
        )
        (candidate,) = self._db.execute(
            "SELECT id FROM candidate"
            " WHERE kind = ? AND label = ? AND iteration = ? AND number = ?",
            key,
        ).fetchone()
        row = self._db.execute(
            "INSERT INTO query (candidate_id, step, sample, status, attempts, sent_at)"
            " VALUES (?, ?, ?, 'sent', 1, ?) ON CONFLICT (candidate_id, step) DO UPDATE"
            " SET attempts = attempts + 1, sent_at = excluded.sent_at"
            " WHERE status = 'sent' RETURNING id",
            (candidate, step, name, now),
        ).fetchone()
        if row is None:
            raise RunFolderError(
                f"Expected candidate {number}, step {step} of {batch} in {self._name} to be "
                "unscored; it is complete and must not be sent again."
            )
        return int(row[0])

    def _components(self, query: int) -> dict[str, float]:
        rows = self._db.execute(
            "SELECT name, value FROM component WHERE query_id = ? ORDER BY name", (query,)
        )
        return {name: _nan(value) for name, value in rows}

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        """All or nothing; on disk when it returns, or at the end of `together`."""
        begin, commit, undo = _PART if self._db.in_transaction else _WHOLE
        with self._reported():
            self._db.execute(begin)
            try:
                yield
            except BaseException:
                if self._db.in_transaction:  # a full disk may have ended it
                    self._db.execute(undo)
                raise
            self._db.execute(commit)

    @contextlib.contextmanager
    def _reported(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise RunFolderError(
                f"Could not use {self._name} ({error}). What was written before is kept: free "
                "some space or fix the permissions, then resume the run."
            ) from error


def _nan(value: float | None) -> float:
    return math.nan if value is None else value
