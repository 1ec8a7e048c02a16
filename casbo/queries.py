"""Queries: samples go out through the ledger to the scorer, scores come back the same way.

The one place where a query is sent. What the ledger already holds is not sent again,
and samples are only made when something is missing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from casbo.ledger import Batch, Entry, Ledger, Slot
from casbo.objective import Objective
from casbo.rollout import Sample
from casbo.scorer import Reply
from casbo.workers import Scoring


@dataclass(frozen=True)
class Queries:
    """A scorer's counter: ledger, workers and objective together.

    Arguments:
        ledger: Where every query is written before it is sent.
        scoring: Where samples are sent.
        objective: From a reply's components to one number.
        identify: What a sample is, in the rollout's own words; kept in the ledger.
        on_reply: Called with every new entry, for live progress.
    """

    ledger: Ledger
    scoring: Scoring
    objective: Objective
    identify: Callable[[Sample], str | None]
    on_reply: Callable[[Entry], None] | None = None

    def score(
        self,
        batch: Batch,
        slots: Sequence[Slot],
        samples: Callable[[], Mapping[Slot, Sample]],
    ) -> dict[Slot, Entry]:
        """The entries of all slots, in their order, sending only what is not yet complete.

        Arguments:
            batch: What the slots belong to.
            slots: (candidate number, step) of every query.
            samples: Makes the samples of all slots; called at most once.

        Raises:
            ScorerError: When the scorer cannot be set up, or its components do not fit
                the objective.
            RunFolderError: When the ledger cannot be written.
        """
        entries = self.ledger.entries(batch)
        missing = [slot for slot in slots if slot not in entries]
        if missing:
            made = samples()
            names = {slot: self.identify(made[slot]) for slot in missing}
            sent = self.ledger.send(batch, missing, names)
            jobs = {query: made[slot] for query, slot in sent.items()}
            for arrived in self.scoring.arrivals(jobs):
                with self.ledger.together():
                    for query, reply in arrived:
                        entries[sent[query]] = self._complete(query, reply)
        return {slot: entries[slot] for slot in slots}

    def _complete(self, query: int, reply: Reply) -> Entry:
        """Write a reply and show it."""
        entry = self._entry(reply)
        self.ledger.complete(query, reply, entry.score)
        if self.on_reply is not None:
            self.on_reply(entry)
        return entry

    def _entry(self, reply: Reply) -> Entry:
        score = math.nan
        if reply.components:
            columns = {name: np.array([value]) for name, value in reply.components.items()}
            # SQLite keeps no negative zero: adding 0 drops it before anybody has seen it
            score = float(self.objective(columns)[0]) + 0.0
        if not math.isfinite(score):
            score = math.nan
        return Entry(score, dict(reply.components), reply.message, reply.seconds)
