"""The ledger: one row per query, written before it is sent, completed once."""

from __future__ import annotations

import math
import sqlite3
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casbo.errors import RunFolderError
from casbo.ledger import APPLICATION_ID, FINAL, SCHEMA_VERSION, Batch, Ledger
from casbo.scorer import Reply

BATCH = Batch("steering", 0)


@given(
    st.lists(
        st.tuples(st.integers(0, 50), st.one_of(st.just(FINAL), st.integers(0, 9))),
        unique=True,
        min_size=1,
        max_size=20,
    ),
    st.data(),
)
def test_replies_in_any_order_stay_with_their_candidates(
    slots: list[tuple[int, int]], data: st.DataObject
) -> None:
    ledger = Ledger()
    sent = ledger.send(BATCH, slots)
    assert ledger.entries(BATCH) == {}
    scores = {slot: data.draw(st.floats(allow_infinity=False)) for slot in slots}
    for query in data.draw(st.permutations(sorted(sent))):
        score = scores[sent[query]]
        ledger.complete(query, Reply({"score": score, "other": 1.5}, "m"), score)
    entries = ledger.entries(BATCH)
    assert entries.keys() == scores.keys()
    for slot, score in scores.items():
        assert entries[slot].score == score or math.isnan(score)
        assert entries[slot].failed == math.isnan(score)
        assert entries[slot].components["other"] == 1.5
    failed = sum(math.isnan(score) for score in scores.values())
    assert (ledger.tally().completed, ledger.tally().failed) == (len(slots), failed)
    ledger.close()


def test_a_reply_told_twice_counts_once_and_another_one_is_refused() -> None:
    ledger = Ledger()
    (query,) = ledger.send(BATCH, [(0, FINAL)])
    ledger.complete(query, Reply({"score": 1.0}), 1.0)
    ledger.complete(query, Reply({"score": 1.0}), 1.0)
    assert ledger.tally().completed == 1
    with pytest.raises(RunFolderError, match="second one"):
        ledger.complete(query, Reply({"score": 2.0}), 2.0)
    with pytest.raises(RunFolderError, match="must not be sent again"):
        ledger.send(BATCH, [(0, FINAL)])
    with pytest.raises(RunFolderError, match="Expected one reply"):
        ledger.complete(query + 1, Reply(), math.nan)


def test_a_failed_send_leaves_nothing_behind() -> None:
    ledger = Ledger()
    (query,) = ledger.send(BATCH, [(1, FINAL)])
    ledger.complete(query, Reply({"score": 1.0}), 1.0)
    with pytest.raises(RunFolderError):
        ledger.send(BATCH, [(0, FINAL), (1, FINAL)])
    assert [row["number"] for row in ledger.rows()] == [1]


def test_what_is_written_together_is_there_at_once(tmp_path: Path) -> None:
    ledger, other = Ledger(tmp_path / "ledger.sqlite"), Ledger(tmp_path / "ledger.sqlite")
    sent = ledger.send(BATCH, [(0, FINAL), (1, FINAL)])
    with ledger.together():
        for query in sent:
            ledger.complete(query, Reply({"score": 1.0}), 1.0)
            assert ledger.tally().completed > other.tally().completed == 0
    assert other.tally().completed == 2
    ledger.close()
    other.close()


def test_an_error_among_what_is_written_together_leaves_what_came_before(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.sqlite")
    sent = dict.fromkeys(ledger.send(BATCH, [(0, FINAL), (1, FINAL)]))
    first, second = sent

    def write() -> None:
        with ledger.together():
            ledger.complete(first, Reply({"score": 1.0}), 1.0)
            ledger.complete(second, Reply({"score": 1.0, "hostile": object()}), 1.0)  # type: ignore[dict-item]

    with pytest.raises(TypeError):
        write()
    ledger.close()
    again = Ledger(tmp_path / "ledger.sqlite")
    assert [row["status"] for row in again.rows()] == ["scored", "sent"]
    again.complete(second, Reply({"score": 2.0}), 2.0)
    assert again.tally().completed == 2
    again.close()


def test_a_query_in_flight_is_sent_again_as_another_attempt(tmp_path: Path) -> None:
    first = Ledger(tmp_path / "ledger.sqlite")
    sent = first.send(BATCH, [(0, FINAL), (1, FINAL)])
    first.close()
    again = Ledger(tmp_path / "ledger.sqlite")
    assert again.send(BATCH, [(0, FINAL), (1, FINAL)]) == sent
    for query in sent:
        again.complete(query, Reply({"score": 0.5}), 0.5)
    assert [row["attempts"] for row in again.rows()] == [2, 2]
    again.close()


def test_scores_come_back_bit_by_bit(tmp_path: Path) -> None:
    values = [0.1, 1 / 3, -1e-308, 5e-324, 1.7976931348623157e308, 2**53 + 2.0]
    ledger = Ledger(tmp_path / "ledger.sqlite")
    sent = ledger.send(BATCH, [(n, FINAL) for n in range(len(values))])
    for query, (number, _) in sent.items():
        ledger.complete(query, Reply({"score": values[number]}), values[number])
    ledger.close()
    again = Ledger(tmp_path / "ledger.sqlite")
    entries = again.entries(BATCH)
    assert [entries[(n, FINAL)].score.hex() for n in range(len(values))] == [
        value.hex() for value in values
    ]
    again.close()


def test_the_file_is_wal_with_foreign_keys_and_a_version(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    ledger = Ledger(path)
    with pytest.raises(sqlite3.IntegrityError):
        ledger._db.execute("INSERT INTO component VALUES (77, 'x', 1.0)")
    ledger.close()
    raw = sqlite3.connect(path)
    assert raw.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert raw.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)
    assert raw.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
    raw.close()


@pytest.mark.parametrize("version", [0, SCHEMA_VERSION + 1, 99])
def test_another_schema_is_refused_by_its_number(tmp_path: Path, version: int) -> None:
    path = tmp_path / "ledger.sqlite"
    Ledger(path).close()
    raw = sqlite3.connect(path)
    raw.execute(f"PRAGMA user_version = {version}")
    raw.close()
    with pytest.raises(RunFolderError, match=rf"version {SCHEMA_VERSION}, got {version}"):
        Ledger(path)


@pytest.mark.parametrize(
    "contents", [b"not a database at all" * 100, b"SQLite format 3\0" + b"\1" * 200]
)
def test_another_file_is_refused(tmp_path: Path, contents: bytes) -> None:
    path = tmp_path / "ledger.sqlite"
    path.write_bytes(contents)
    with pytest.raises(RunFolderError):
        Ledger(path)
    assert path.read_bytes() == contents


def test_somebody_elses_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    raw = sqlite3.connect(path)
    raw.execute("CREATE TABLE theirs (x)")
    raw.commit()
    raw.close()
    with pytest.raises(RunFolderError, match="not one"):
        Ledger(path)


def test_a_full_disk_is_an_error_that_keeps_what_was_written(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.sqlite")
    sent = ledger.send(BATCH, [(0, FINAL)])
    (pages,) = ledger._db.execute("PRAGMA page_count").fetchone()
    ledger._db.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(RunFolderError, match="full"):
        ledger.send(Batch("steering", 1), [(n, FINAL) for n in range(5000)])
    ledger._db.execute("PRAGMA max_page_count = 1000000")
    ledger.complete(next(iter(sent)), Reply({"score": 1.0}), 1.0)
    assert ledger.tally().completed == 1
    ledger.close()


def test_an_evaluations_label_belongs_to_its_settings() -> None:
    ledger = Ledger()
    ledger.claim_evaluation("plain", {"seed": 1})
    ledger.claim_evaluation("plain", {"seed": 1})
    with pytest.raises(RunFolderError, match="another label"):
        ledger.claim_evaluation("plain", {"seed": 2})


def test_a_query_says_what_it_is_about(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.sqlite")
    slots = [(0, FINAL), (1, FINAL), (2, FINAL)]
    sent = ledger.send(BATCH, slots, {(0, FINAL): "CCO", (1, FINAL): None})
    ledger.complete(next(iter(sent)), Reply({"score": 1.0}), 1.0)
    ledger.close()
    again = Ledger(tmp_path / "ledger.sqlite")
    assert [row["sample"] for row in again.rows()] == ["CCO", None, None]
    again.close()
