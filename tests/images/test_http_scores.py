"""Scores asked over HTTP: a scripted server on loopback that does what real ones do wrong."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import logging
import math
import pickle
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import casbo
from casbo.errors import CandidateFailed
from casbo.evaluation import evaluate
from casbo.objective import WeightedSum
from casbo.scorer import Reply, read_replies
from casbo.testing import check_scorer
from casbo_images.errors import ImageError
from casbo_images.scores import Brightness, CombinedScore, HttpScore, Retries, VlmScore
from casbo_images.scores.http import attributed
from casbo_images.scores.rating import rating
from casbo_images.scores.service import retry_after

QUICK = Retries(attempts=4, first=0.01, longest=0.02, jitter=0.0, longest_asked=1.0)
SECRET = "sk-very-secret-0123456789"
GREYS = [Image.new("RGB", (4, 3), (grey, grey, grey)) for grey in (0, 51, 102, 153, 204, 255)]
LIGHTS = [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]

Body = dict[str, Any]


@dataclass
class Answer:
    """One reply of the scripted server.

    Arguments:
        content: Bytes, or JSON values, or a function of the request's body giving them.
        cut: Bytes at the end that are promised and not sent.
        wait: Seconds before the reply.
        trickle: Seconds between its bytes.
    """

    status: int = 200
    content: Any = b""
    headers: dict[str, str] = field(default_factory=dict)
    cut: int = 0
    wait: float = 0.0
    trickle: float = 0.0


class Server(ThreadingHTTPServer):
    """Gives the answers of its script, one per request, then the usual one."""

    daemon_threads = True

    def __init__(self, usual: Callable[[Body], Any]) -> None:
        self.usual = Answer(content=usual)
        self.script: list[Answer] = []
        self.requests: list[tuple[dict[str, str], Body]] = []
        self.times: list[float] = []
        self.lock = threading.Lock()
        self.at_once = self.most_at_once = 0
        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/score"

    @property
    def keys(self) -> list[str]:
        return [headers["idempotency-key"] for headers, _ in self.requests]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is no news."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.lock:
            self.server.requests.append(({k.lower(): v for k, v in self.headers.items()}, body))
            self.server.times.append(time.time())
            script = self.server.script
            answer = script.pop(0) if script else self.server.usual
            self.server.at_once += 1
            self.server.most_at_once = max(self.server.most_at_once, self.server.at_once)
        time.sleep(answer.wait)
        with self.server.lock:
            self.server.at_once -= 1
        self._give(answer, body)

    def _give(self, answer: Answer, body: Body) -> None:
        content = answer.content(body) if callable(answer.content) else answer.content
        content = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(answer.status)
        for name, value in {**answer.headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        sent = content[: len(content) - answer.cut]
        for start in range(0, len(sent), 1 if answer.trickle else len(sent)):
            self.wfile.write(sent[start : start + 1] if answer.trickle else sent)
            time.sleep(answer.trickle)
        self.close_connection = answer.cut > 0

    def log_message(self, *_: object) -> None:
        pass


def lights(body: Body) -> list[float]:
    """What each picture of a request is worth: its brightness."""
    pictures = [Image.open(io.BytesIO(base64.b64decode(image))) for image in body["images"]]
    assert all(p.format == "PNG" and p.mode == "RGB" for p in pictures)
    return Brightness()(pictures)


@contextlib.contextmanager
def serving(usual: Callable[[Body], Any]) -> Iterator[Server]:
    server = Server(usual)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def server() -> Iterator[Server]:
    with serving(lambda body: {"scores": lights(body)}) as running:
        yield running


def http_score(server: Server, **options: Any) -> HttpScore:
    return HttpScore(server.url, **{"retries": QUICK, "timeout": 5.0, **options})


def replies(scorer: Any, samples: list[Any] = GREYS) -> list[Reply]:
    return read_replies(scorer(samples), len(samples))


def scores(scorer: Any, samples: list[Any] = GREYS) -> list[float]:
    return [reply.components["score"] for reply in replies(scorer, samples)]


def assert_failed(scorer: Any, says: str, which: tuple[int, ...] = tuple(range(6))) -> None:
    """Those candidates fail for that reason, and the others have their own scores."""
    for index, reply in enumerate(replies(scorer)):
        if index in which:
            assert math.isnan(reply.components["score"])
            assert re.search(says, reply.message), reply.message
            assert "\n" not in reply.message
        else:
            assert reply.message is None
            assert reply.components["score"] == pytest.approx(LIGHTS[index])


# --- the protocol ----------------------------------------------------------------------------


def test_the_contract_of_scorers(server: Server) -> None:
    report = check_scorer(http_score(server, batch=2), [*GREYS, "no picture"])
    assert report.repeatable
    assert report.picklable
    assert report.failed == 1


@pytest.mark.parametrize("batch", [1, 2, 4, 6, 100])
def test_scores_do_not_depend_on_the_batch(server: Server, batch: int) -> None:
    assert scores(http_score(server, batch=batch)) == pytest.approx(LIGHTS)
    sizes = [len(body["images"]) for _, body in server.requests]
    assert len(sizes) == math.ceil(6 / batch)
    assert max(sizes) <= batch
    ids = [name for _, body in server.requests for name in body["ids"]]
    assert len(set(ids)) == len(ids) == 6


def worded(body: Body) -> list[dict[str, Any]]:
    return [{"id": n, "score": s} for n, s in zip(body["ids"], lights(body), strict=True)]


@pytest.mark.parametrize(
    "answer",
    [
        lambda body: {"scores": worded(body)[::-1]},
        lambda body: {"scores": {row["id"]: row["score"] for row in worded(body)[::-1]}},
        lambda body: {"scores": {row["id"]: row for row in worded(body)}, "model": "v2"},
        lambda body: {"scores": [{**row, "id": int(row["id"])} for row in worded(body)]},
        lambda body: {"scores": [*worded(body)[::-1], {"id": "other", "score": 9}]},
        lambda body: {"scores": [{"score": score} for score in lights(body)]},
    ],
)
def test_replies_in_any_order_are_attributed_rightly(
    server: Server, answer: Callable[[Body], Any]
) -> None:
    server.usual = Answer(content=answer)
    assert scores(http_score(server, batch=4)) == pytest.approx(LIGHTS)


@given(st.permutations(range(7)), st.sets(st.integers(0, 6)))
def test_attribution_is_the_inverse_of_any_shuffle(order: list[int], lost: set[int]) -> None:
    ids = [str(number) for number in range(7)]
    rows = [{"id": ids[i], "score": i * 1.5} for i in order if i not in lost]
    for index, entry in enumerate(attributed({"scores": rows}, ids) if rows else []):
        if index in lost:
            assert isinstance(entry, CandidateFailed)
        else:
            assert entry["score"] == index * 1.5


def test_a_missing_id_fails_its_candidate_only(server: Server) -> None:
    server.usual = Answer(
        content=lambda body: {"scores": [row for row in worded(body) if row["id"] not in "14"]}
    )
    assert_failed(http_score(server), "no score for id", (1, 4))


def test_nulls_and_messages_fail_their_candidates_only(server: Server) -> None:
    def answer(body: Body) -> Any:
        rows: list[Any] = lights(body)
        rows[0], rows[2], rows[3] = None, {"error": "no face\nfound"}, {"score": None}
        return {"scores": rows}

    server.usual = Answer(content=answer)
    score = http_score(server)
    assert_failed(score, "null|no face found", (0, 2, 3))
    assert "no face found" in replies(score)[2].message


@pytest.mark.parametrize("entry", ["7", True, [1.0], 10**400, math.nan, {}, {"other": 1.0}])
def test_what_is_no_number_fails_its_candidate_only(server: Server, entry: object) -> None:
    server.usual = Answer(content=lambda body: {"scores": [entry, *lights(body)[1:]]})
    assert_failed(http_score(server), "number|no 'score'|nan", (0,))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ({"scores": [1.0, 2.0]}, "expected 3 scores, got 2"),
        ({"scores": [1.0] * 4}, "expected 3 scores, got 4"),
        ({"scores": []}, "got 0"),
        ({"scores": 3}, "list or an object"),
        ({"result": [1.0] * 3}, "'scores'"),
        ([1.0] * 3, "'scores'"),
        (None, "'scores'"),
        ({"scores": [{"id": "0", "score": 1.0}, 2.0, 3.0]}, "id of its own"),
        ({"scores": [{"id": "0", "score": n} for n in range(3)]}, "id of its own"),
    ],
)
def test_replies_that_cannot_be_attributed_fail_their_batch_only(
    server: Server, content: object, says: str
) -> None:
    server.script = [Answer(content=content)]
    assert_failed(http_score(server, batch=3), says, (0, 1, 2))
    assert len(server.requests) == 2  # an answer is an answer: not asked again


def test_named_components(server: Server) -> None:
    def answer(body: Body) -> Any:
        rows = [{"light": light, "dark": 1 - light} for light in lights(body)]
        rows[1]["dark"] = None
        rows[2] = {"error": "broken"}
        rows[3].pop("light")
        rows[4] = 0.8
        return {"scores": rows}

    server.usual = Answer(content=answer)
    found = replies(http_score(server, components=("light", "dark")))
    assert [tuple(reply.components) for reply in found] == [("light", "dark")] * 6
    lit = [reply.components["light"] for reply in found]
    assert lit == pytest.approx([0, 0.2, math.nan, math.nan, math.nan, 1], nan_ok=True)
    dark = [reply.components["dark"] for reply in found]
    assert dark == pytest.approx([1, math.nan, math.nan, 0.4, math.nan, 0], nan_ok=True)
    assert [reply.message is None for reply in found] == [True, False, False, False, False, True]


# --- retries ---------------------------------------------------------------------------------

OK = Answer(content=lambda body: {"scores": lights(body)})


@pytest.mark.parametrize(
    "bad",
    [
        Answer(500, b"<html>oops</html>"),
        Answer(503),
        Answer(429, {"error": "slow down"}),
        Answer(408),
        Answer(200, b'{"scores": [0.1, 0.2'),
        Answer(200, b""),
        Answer(200, b"\xff\xfe not text"),
        Answer(200, b'{"scores": [1, 2, 3, 4, 5, 6]}', cut=9),
        Answer(200, b"no gzip", {"Content-Encoding": "gzip"}),
        Answer(200, {"scores": [9.0] * 6}, wait=0.5),
        Answer(200, {"scores": [9.0] * 6}, trickle=0.02),
    ],
    ids=["500", "503", "429", "408", "half", "empty", "binary", "cut", "gzip", "slow", "trickle"],
)
def test_what_may_pass_is_asked_again_under_the_same_key(server: Server, bad: Answer) -> None:
    server.script = [bad, bad]
    assert scores(http_score(server, timeout=0.25)) == pytest.approx(LIGHTS)
    assert len(server.requests) == 3
    assert len(set(server.keys)) == 1
    assert server.requests[0][1] == server.requests[2][1]


def test_keys_differ_between_batches_and_not_between_calls(server: Server) -> None:
    same = [GREYS[0]] * 3
    score = http_score(server, batch=1)
    scores(score, same)
    assert len(set(server.keys)) == 3
    scores(pickle.loads(pickle.dumps(score)), same)
    assert server.keys[3:] == server.keys[:3]
    scores(score, [GREYS[1]])
    assert server.keys[-1] not in server.keys[:-1]


def test_a_batch_that_fails_for_good_fails_alone(server: Server) -> None:
    server.script = [OK, *[Answer(500, b"out of memory")] * 4, OK]
    says = "127.0.0.1.*no answer in 4 attempts.*HTTP 500.*out of memory"
    assert_failed(http_score(server, batch=2), says, (2, 3))
    assert len(server.requests) == 6


@pytest.mark.parametrize("status", [400, 401, 404, 413, 422, 301])
def test_refusals_are_not_asked_again(server: Server, status: int) -> None:
    said = {"error": {"message": "no such\nmodel"}}
    server.script = [Answer(status, said, {"Location": "http://127.0.0.1:9/"})]
    assert_failed(http_score(server, batch=3), f"HTTP {status}.*no such model", (0, 1, 2))
    assert len(server.requests) == 2


def test_the_waits_that_a_service_asks_for_are_kept(server: Server) -> None:
    server.script = [Answer(429, headers={"Retry-After": "0.3"})]
    assert scores(http_score(server)) == pytest.approx(LIGHTS)
    assert server.times[1] - server.times[0] >= 0.29
    date = (datetime.now(UTC) + timedelta(seconds=1.5)).replace(microsecond=0)
    server.script = [Answer(503, headers={"Retry-After": format_datetime(date, usegmt=True)})]
    patient = Retries(attempts=2, first=0.0, longest=0.0, jitter=0.0, longest_asked=5.0)
    assert scores(http_score(server, retries=patient)) == pytest.approx(LIGHTS)
    assert server.times[3] >= date.timestamp() - 0.01


def test_a_wait_of_hours_fails_at_once(server: Server) -> None:
    server.script = [Answer(429, headers={"Retry-After": "7200"})]
    assert_failed(http_score(server), "asks to wait 7200 s")
    assert len(server.requests) == 1


NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("5", 5.0),
        (" 0 ", 0.0),
        ("-3", 0.0),
        ("nan", None),
        ("soon", None),
        ("", None),
        (None, None),
        ("Thu, 01 Jan 2026 00:00:30 GMT", 30.0),
        ("Thu, 01 Jan 2026 01:00:30 +0100", 30.0),
        ("Thu, 01 Jan 2026 00:00:30 -0000", 30.0),
        ("Wed, 31 Dec 2025 23:59:59 GMT", 0.0),
        ("Thu, 99 Jan 2026 00:00:30 GMT", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(header: str | None, seconds: float | None) -> None:
    assert retry_after(header, NOW) == seconds


@given(st.text(max_size=30))
def test_no_retry_after_breaks_anything(header: str) -> None:
    wait = retry_after(header, NOW)
    assert wait is None or wait >= 0


def test_nobody_there() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        score = HttpScore(f"http://127.0.0.1:{unused.getsockname()[1]}/", retries=QUICK)
        assert_failed(score, "no answer in 4 attempts.*ConnectError")


# --- secrets ---------------------------------------------------------------------------------


def assert_hidden(scorer: Any) -> None:
    assert SECRET not in json.dumps(scorer.describe())
    assert SECRET.encode() not in pickle.dumps(scorer)
    assert SECRET not in repr(scorer)
    assert SECRET not in repr(scorer.service)


def test_secrets_stay_in_the_environment(
    server: Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    monkeypatch.setenv("SCORER_TOKEN", SECRET)
    score = http_score(
        server, headers={"Authorization": "Bearer ${SCORER_TOKEN}", "X-Cost": "$$1"}
    )
    score.prepare()
    assert scores(score) == pytest.approx(LIGHTS)
    assert_hidden(score)
    assert score.describe()["headers"] == ["Authorization", "X-Cost"]
    headers, _ = server.requests[0]
    assert headers["authorization"] == f"Bearer {SECRET}"
    assert headers["x-cost"] == "$1"
    echo = {"error": f"the token {SECRET} is not valid"}
    server.script = [Answer(500, echo), Answer(403, echo)]
    assert_failed(score, r"the token \*\*\* is not valid")
    assert caplog.records  # stamina logs each retry
    assert SECRET not in str([vars(record) for record in caplog.records])


def test_a_header_written_out_is_not_described(server: Server) -> None:
    score = http_score(server, headers={"Authorization": SECRET})
    assert SECRET not in json.dumps(score.describe())
    assert SECRET not in repr(score)
    assert scores(pickle.loads(pickle.dumps(score))) == pytest.approx(LIGHTS)  # workers need it
    assert server.requests[0][0]["authorization"] == SECRET


def test_a_query_is_sent_and_not_written_down(server: Server) -> None:
    score = HttpScore(f"{server.url}?key={SECRET}", retries=QUICK)
    assert score.describe()["url"] == server.url
    server.script = [Answer(403, {"detail": f"bad key {SECRET}"})]
    assert_failed(score, r"/score: HTTP 403 Forbidden: bad key \*\*\*")


def test_an_environment_variable_that_is_not_set_stops_the_run(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SCORER_TOKEN", raising=False)
    score = http_score(server, headers={"Authorization": "Bearer $SCORER_TOKEN"})
    with pytest.raises(ImageError, match="SCORER_TOKEN"):
        score.prepare()
    with pytest.raises(ImageError, match=r"\$\$ for a dollar"):
        http_score(server, headers={"X-Cost": "5$"}).prepare()


@pytest.mark.parametrize(
    "url",
    ["", "host/score", "ftp://host/", "http://", "http://me:pw-0123@host/", "http://h:no/", None],
)
def test_addresses_that_cannot_be_used(url: Any) -> None:
    with pytest.raises(ImageError, match=r"http://|credentials") as caught:
        HttpScore(url)
    assert "pw-0123" not in str(caught.value)


@pytest.mark.parametrize(
    "make",
    [
        lambda: HttpScore("http://h/", batch=0),
        lambda: HttpScore("http://h/", timeout=0),
        lambda: HttpScore("http://h/", attempts=0),
        lambda: HttpScore("http://h/", components=()),
        lambda: HttpScore("http://h/", components="light"),
        lambda: Retries(first=-1),
        lambda: Retries(longest=math.nan),
        lambda: VlmScore(" ", "m"),
        lambda: VlmScore("How nice?", "m", low=3, high=3),
        lambda: VlmScore("How nice?", "m", parallel=0),
        lambda: VlmScore("How nice?", "m", "localhost:8000"),
    ],
)
def test_unusable_options_are_refused(make: Callable[[], object]) -> None:
    with pytest.raises(ImageError, match="Expected"):
        make()


# --- language models -------------------------------------------------------------------------


def chat(text: object) -> dict[str, Any]:
    return {"choices": [{"message": {"role": "assistant", "content": text}}]}


def seen(body: Body) -> Image.Image:
    (message,) = body["messages"]
    kind, data = message["content"][1]["image_url"]["url"].split(",")
    assert kind == "data:image/png;base64"
    return Image.open(io.BytesIO(base64.b64decode(data)))


@pytest.fixture
def vlm_server() -> Iterator[Server]:
    """Answers with ten times a picture's brightness, dark ones latest."""

    def answer(body: Body) -> Any:
        (light,) = Brightness()([seen(body)])
        time.sleep(0.05 * (1 - light))
        return chat(f"Score: {10 * light:.1f}/10")

    with serving(answer) as running:
        yield running


def vlm_score(server: Server, **options: Any) -> VlmScore:
    base = server.url.replace("/score", "/v1")
    return VlmScore("How bright is it?", "tiny-vlm", base, **{"retries": QUICK, **options})


def test_a_language_models_numbers_stay_with_their_pictures(vlm_server: Server) -> None:
    for parallel in (1, 4):
        vlm_server.most_at_once = 0
        found = scores(vlm_score(vlm_server, parallel=parallel))
        assert found == pytest.approx([10 * light for light in LIGHTS])
        assert 1 <= vlm_server.most_at_once <= parallel
    report = check_scorer(vlm_score(vlm_server), [*GREYS, "no picture"])
    assert report.picklable
    assert report.failed == 1


def test_questions_have_keys_of_their_own(vlm_server: Server) -> None:
    vlm_server.script = [Answer(503), Answer(200, b"{")]
    assert scores(vlm_score(vlm_server, parallel=1), [GREYS[2]] * 3) == pytest.approx([4.0] * 3)
    assert len(vlm_server.keys) == 5
    assert len(set(vlm_server.keys[:3])) == 1
    assert len(set(vlm_server.keys)) == 3


def test_what_a_language_model_is_asked(
    vlm_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    scores(vlm_score(vlm_server, low=1, options={"max_tokens": 8}), GREYS[1:2])
    headers, body = vlm_server.requests[0]
    assert body["model"] == "tiny-vlm"
    assert body["temperature"] == 0
    assert body["max_tokens"] == 8
    text = body["messages"][0]["content"][0]["text"]
    assert text.startswith("How bright is it?")
    assert "number from 1 to 10" in text
    assert seen(body).tobytes() == GREYS[1].tobytes()
    assert "authorization" not in headers


def test_the_key_is_read_at_call_time_and_kept_nowhere(
    vlm_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    score = vlm_score(vlm_server, api_key_env="MY_KEY")
    monkeypatch.setenv("MY_KEY", f"{SECRET}\n")
    assert scores(score, GREYS[:1]) == [0.0]
    assert vlm_server.requests[0][0]["authorization"] == f"Bearer {SECRET}"
    assert_hidden(score)
    vlm_server.script = [Answer(401, {"error": {"message": f"Incorrect key: {SECRET}"}})]
    (reply,) = replies(score, GREYS[:1])
    assert "Incorrect key: ***" in reply.message
    monkeypatch.setenv("MY_KEY", "key-\u2013-with-a-dash")
    (reply,) = replies(score, GREYS[:1])
    assert "cannot be sent" in reply.message


def test_a_language_model_that_cannot_answer_fails_its_picture_only(vlm_server: Server) -> None:
    answers = [
        ({"choices": []}, "chat completion"),
        ([], "chat completion"),
        (chat(None), "no number"),
        (chat("I cannot rate this picture."), "I cannot rate"),
        (chat("11"), "from 0 to 10, got 11"),
        (chat([{"type": "text", "text": "7"}]), None),
        ({"choices": [{"message": {"content": None, "refusal": "No."}}]}, "'No.'"),
    ]
    score = vlm_score(vlm_server, parallel=1)
    for content, says in answers:
        vlm_server.script = [Answer(503), Answer(content=content)]
        first, second = replies(score, GREYS[:2])
        if says is None:
            assert first.components["score"] == 7.0
        else:
            assert says in first.message
        assert second.components["score"] == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("reply", "number"),
    [
        ("7", 7.0),
        (" 7.5\n", 7.5),
        ("7,5", 7.5),
        (".5", 0.5),
        ("10", 10.0),
        ("7.", 7.0),
        ("**8**", 8.0),
        ("Score: 7.5/10", 7.5),
        ("Score: **7.5**/10", 7.5),
        ("**Score:** 7.5 / 10.", 7.5),
        ("7 out of 10", 7.0),
        ("10/10!", 10.0),
        ("I would give it 6 out of 10, for 2 of the 3 cats are sharp.", 6.0),
        ("On a scale of 0 to 10, I'd say 4.", 4.0),
        ("On a scale from 0-10: 4", 4.0),
        ("There are 3 cats and 2 dogs. Rating: 8", 8.0),
        ("The score is 9", 9.0),
        ("score=3", 3.0),
        ('{"score": 7}', 7.0),
        ('{"Score": "7.5", "reason": "2 cats"}', 7.5),
        ('```json\n{"rating": 6.0}\n```', 6.0),
        ("[5]", 5.0),
        ("<think>Maybe 3, or 4/10?</think>\n\n6", 6.0),
        ("8/10. Yes, 8 out of 10.", 8.0),
        ("The picture from 2024 has a score of 5.", 5.0),
    ],
)
def test_numbers_that_models_write(reply: str, number: float) -> None:
    assert rating(reply, 0, 10) == number


@pytest.mark.parametrize(
    "reply",
    [
        "",
        "No idea.",
        "11",
        "-1",
        "\u22121",
        "Score: -3",
        "70%",
        "nan",
        "inf",
        "4/5",
        "7 or 8",
        "7-8",
        "Colour: 3/10, shape: 7/10",
        "3 cats and 2 dogs",
        '{"score": null}',
        '{"score": true}',
        '{"a": 3, "b": 4}',
        '{"score": 1e400}',
        "<think>7</think>",
        "1,234,567",
        "7th heaven",
        "v1.5.2",
    ],
)
def test_replies_without_one_number_in_range_fail_with_their_beginning(reply: str) -> None:
    with pytest.raises(CandidateFailed, match="expected a number from 0 to 10") as caught:
        rating(reply, 0, 10)
    assert repr(reply[:80]) in str(caught.value)


@given(
    st.integers(0, 100), st.sampled_from(["{}", "Score: {}", "{}/10", "**{}**", '{{"score": {}}}'])
)
def test_every_number_is_read_as_it_was_written(tenths: int, form: str) -> None:
    assert rating(form.format(tenths / 10), 0, 10) == tenths / 10


@given(st.text(max_size=60), st.floats(-5, 5), st.floats(0.1, 5))
def test_any_reply_gives_a_number_in_range_or_a_reason(
    reply: str, low: float, width: float
) -> None:
    with contextlib.suppress(CandidateFailed):
        assert low <= rating(reply, low, low + width) <= low + width


# --- with the engine -------------------------------------------------------------------------


class Shades(casbo.Rollout):
    """Two steps of noise -> a grey picture whose brightness is their sum."""

    shape = (2, 1)

    def __call__(self, noise: Any, *, predict: tuple[int, ...] = ()) -> casbo.Trajectories:
        greys = (128 + 50 * noise.sum((1, 2))).clamp(0, 255).round().int().tolist()
        return casbo.Trajectories([Image.new("RGB", (8, 8), (g, g, g)) for g in greys])


def test_a_run_with_a_flaky_service_loses_nothing(server: Server) -> None:
    server.script = [OK, Answer(503), OK, Answer(200, b"{"), OK]
    score = CombinedScore({"service": http_score(server), "light": Brightness()})
    result = casbo.steer(
        Shades(),
        score,
        objective=WeightedSum({"service": 1.0}),
        direction="maximize",
        queries=48,
        population=16,
        seed=1,
    )
    found = evaluate(
        result.controls, Shades(), score, n=8, objective=WeightedSum({"service": 1.0})
    )
    assert found.failed == 0
    assert found.components["service"] == pytest.approx(found.components["light"])
    assert np.isfinite(result.best.score)
