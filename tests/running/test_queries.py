"""Queries: replies are written as they arrive, together where they arrive together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from casbo.errors import ScorerError
from casbo.ledger import FINAL, Batch, Entry, Ledger
from casbo.objective import Objective, SingleComponent, WeightedProduct
from casbo.queries import Queries
from casbo.workers import open_scoring

BATCH = Batch("steering", 0)
SLOTS = [(number, FINAL) for number in range(4)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite"


@pytest.fixture
def ledger(path: Path) -> Iterator[Ledger]:
    opened = Ledger(path)
    yield opened
    opened.close()


def seen_by_others(ledger: Ledger, path: Path, scorer: object) -> list[int]:
    """How many replies another process finds at each reply, and at the end."""
    other = Ledger(path)
    seen: list[int] = []

    def look(entry: Entry) -> None:
        del entry
        seen.append(other.tally().completed)

    with open_scoring(scorer) as scoring:  # type: ignore[arg-type]
        queries = Queries(ledger, scoring, SingleComponent(), lambda _: None, look)
        entries = queries.score(BATCH, SLOTS, lambda: {slot: float(slot[0]) for slot in SLOTS})
    assert [entries[slot].score for slot in SLOTS] == [0.0, 1.0, 2.0, 3.0]
    seen.append(other.tally().completed)
    other.close()
    return seen


def test_replies_of_one_call_are_written_together(ledger: Ledger, path: Path) -> None:
    assert seen_by_others(ledger, path, list) == [0, 0, 0, 0, 4]


def test_replies_of_single_calls_are_written_one_by_one(ledger: Ledger, path: Path) -> None:
    def one_at_a_time(samples: Sequence[float]) -> list[float]:
        if len(samples) > 1:
            raise ValueError("one at a time")
        return list(samples)

    assert seen_by_others(ledger, path, one_at_a_time) == [0, 1, 2, 3, 4]


def test_a_reply_that_fits_no_objective_leaves_those_before_it(ledger: Ledger, path: Path) -> None:
    objective: Objective = WeightedProduct({"score": 1.0})
    samples = {slot: 2.0 - slot[0] for slot in SLOTS}  # the last one is negative
    with open_scoring(np.array) as scoring:
        queries = Queries(ledger, scoring, objective, lambda _: None)
        with pytest.raises(ScorerError, match="0 or more"):
            queries.score(BATCH, SLOTS, lambda: samples)
    other = Ledger(path)
    assert [row["status"] for row in other.rows()] == ["scored", "scored", "scored", "sent"]
    other.close()
