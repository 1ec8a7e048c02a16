"""A JSON service over HTTP: retries, waits and messages, for the scores that ask one.

A request is sent again when it could not be delivered or answered in time, on the statuses 408, 429
and 5xx, and when the answer is cut short or is no JSON, each time under the same
``Idempotency-Key``. Waits grow from attempt to attempt; a ``Retry-After`` (seconds or a date,
RFC 9110 section 10.2.3) is waited for as asked. What fails for good fails the candidates of that
request with a message, and nothing else. Secrets belong into environment variables: a header's
``$NAME`` is filled in when a request is sent, and appears in no description, pickle or message.
"""

from __future__ import annotations

import contextlib
import email.utils
import hashlib
import json
import os
import string
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from casbo.errors import CandidateFailed, require

from ..errors import ImageError

if TYPE_CHECKING:
    import httpx

#: Statuses below 500 that another attempt may change.
TRANSIENT = {408, 429}


@dataclass(frozen=True)
class Retries:
    """How often a request is sent, and the waits in between, in seconds.

    Arguments:
        attempts: At most, the first one counted.
        first, longest: The wait after the first attempt, doubled after each, and its bound.
        jitter: At most so much is added at random, so that workers do not come back together.
        longest_asked: A ``Retry-After`` of more fails at once.
    """

    attempts: int = 5
    first: float = 0.5
    longest: float = 30.0
    jitter: float = 0.5
    longest_asked: float = 600.0

    def __post_init__(self) -> None:
        waits = (self.first, self.longest, self.jitter, self.longest_asked)
        if self.attempts < 1 or not all(wait >= 0 for wait in waits):
            raise ImageError(f"Expected attempts >= 1 and waits >= 0 seconds, got {self}.")


class _Transient(Exception):  # noqa: N818 - not an error before the last attempt
    """An attempt failed in a way that another may not.

    Arguments:
        message: What happened.
        wait: Seconds that the service asks to wait, or None.
    """

    def __init__(self, message: str, wait: float | None = None) -> None:
        super().__init__(message)
        self.wait = wait


class Service:
    """An address that takes JSON by POST and answers in JSON. Can be pickled; safe in threads.

    Arguments:
        url: The address, http or https, without credentials.
        timeout: Seconds an attempt may take in all.
        retries: How often, and how long apart.
        headers: Sent with each request; ``$NAME`` stands for an environment variable.

    Raises:
        ImageError: On an address, timeout or header that cannot be used.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout: float,
        retries: Retries,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.url = url
        self.address = _address(url)
        if not timeout > 0:
            raise ImageError(f"Expected a timeout > 0 seconds, got {timeout}.")
        self.timeout = timeout
        self.retries = retries
        self.headers = {str(name): str(value) for name, value in dict(headers or {}).items()}

    def prepare(self) -> None:
        """Make the client of this process.

        Raises:
            ImageError: When an environment variable that a header names is not set.
        """
        require("stamina", "images")
        self._headers()
        _ = self._client

    def post(
        self, body: Mapping[str, Any], *, key: str = "", headers: Mapping[str, str] | None = None
    ) -> Any:  # noqa: ANN401
        """Send a body and return the answer's JSON value.

        Arguments:
            body: JSON values.
            key: Tells requests of equal content apart; the ``Idempotency-Key`` is made from both.
            headers: More headers for this request, as they are.

        Raises:
            CandidateFailed: When there is no usable answer, with the reason.
            ImageError: When an environment variable that a header names is not set.
        """
        import stamina

        content = json.dumps(body, separators=(",", ":")).encode()
        private = {**self._headers(), **(headers or {})}
        request = _Request(
            content, private, hashlib.sha256(f"{key}\n".encode() + content).hexdigest()
        )
        waits = self.retries
        try:
            for attempt in stamina.retry_context(
                on=_wait,
                attempts=waits.attempts,
                timeout=None,
                wait_initial=waits.first,
                wait_max=waits.longest,
                wait_jitter=waits.jitter,
            ):
                with attempt:
                    return self._attempt(request)
        except _Transient as error:
            reason = f"no answer in {waits.attempts} attempts ({error})"
            raise CandidateFailed(f"{self.address}: {reason}") from None
        except CandidateFailed as error:
            raise CandidateFailed(f"{self.address}: {error}") from None
        raise AssertionError("no attempt was made")

    def describe(self) -> dict[str, Any]:
        """The address without its query, and the headers' names."""
        return {"url": self.address, "headers": sorted(self.headers)}

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_client"}

    @cached_property
    def _client(self) -> httpx.Client:
        client: httpx.Client = require("httpx", "images").Client(timeout=self.timeout)
        return client

    def _attempt(self, request: _Request) -> Any:  # noqa: ANN401
        """One attempt; whatever its failure says, it says without a secret."""
        try:
            return self._send(request)
        except _Transient as error:  # stamina logs it
            raise _Transient(self._hidden(str(error), request), error.wait) from None
        except CandidateFailed as error:
            raise CandidateFailed(self._hidden(str(error), request)) from None

    def _send(self, request: _Request) -> Any:  # noqa: ANN401
        import httpx

        ends = time.monotonic() + self.timeout
        text = bytearray()
        try:
            with self._client.stream(
                "POST", self.url, content=request.content, headers=request.headers()
            ) as answer:
                for part in answer.iter_bytes():
                    text += part
                    if time.monotonic() > ends:  # httpx's own limit is for each read
                        raise httpx.ReadTimeout(f"not complete in {self.timeout:g} s")
        except httpx.RequestError as error:
            raise _Transient(f"{type(error).__name__}: {error}".rstrip(": ")) from error
        except (httpx.InvalidURL, UnicodeError) as error:
            raise CandidateFailed(f"the request cannot be sent ({error})") from error
        if not answer.is_success:
            self._refuse(answer, bytes(text))
        try:
            return json.loads(text)
        except (ValueError, RecursionError) as error:
            got = f"{bytes(text[:60])!r} ({len(text)} bytes)"
            raise _Transient(f"expected JSON, got {got}") from error

    def _refuse(self, answer: httpx.Response, text: bytes) -> None:
        status = answer.status_code
        message = f"HTTP {status} {answer.reason_phrase}: {_message(text)}".rstrip(": ")
        if status not in TRANSIENT and status < 500:
            raise CandidateFailed(message)
        wait = retry_after(answer.headers.get("Retry-After"))
        if wait is not None and wait > self.retries.longest_asked:
            raise CandidateFailed(f"{message} (asks to wait {wait:.0f} s)")
        raise _Transient(message, wait)

    def _headers(self) -> dict[str, str]:
        """The headers with environment variables filled in."""
        try:
            return {
                name: string.Template(value).substitute(os.environ)
                for name, value in self.headers.items()
            }
        except KeyError as error:
            raise ImageError(
                f"{self.address}: a header needs the environment variable {error.args[0]}, which is "
                "not set."
            ) from None
        except ValueError:
            raise ImageError(
                f"{self.address}: expected $NAME of an environment variable, or $$ for a dollar "
                f"sign, in the headers {sorted(self.headers)}."
            ) from None

    def _hidden(self, message: str, request: _Request) -> str:
        """A message in which neither a header's nor the query's values appear."""
        values = [*request.private.values(), *dict(parse_qsl(urlsplit(self.url).query)).values()]
        words = {word for value in values for word in (value, *value.split())}
        for word in sorted(words, key=len, reverse=True):
            if len(word) > len("Bearer"):
                message = message.replace(word, "***")
        return message


@dataclass(frozen=True)
class _Request:
    """What all attempts send.

    Arguments:
        content: The body.
        private: Headers that may hold secrets.
        identity: The same for all attempts, another for any other request.
    """

    content: bytes
    private: Mapping[str, str]
    identity: str

    def headers(self) -> dict[str, str]:
        own = {"Content-Type": "application/json", "Accept": "application/json"}
        return {**own, "Idempotency-Key": self.identity, **self.private}


def _wait(error: Exception) -> bool | float:
    """What stamina asks: whether to try again, or after how many seconds."""
    if not isinstance(error, _Transient):
        return False
    return True if error.wait is None else error.wait


def retry_after(value: str | None, now: datetime | None = None) -> float | None:
    """The seconds that a Retry-After header asks to wait; None when it says nothing usable.

    Arguments:
        value: Seconds, or an HTTP date.
        now: The present, for dates.
    """
    if value is None:
        return None
    with contextlib.suppress(ValueError, OverflowError):
        seconds = float(value)
        return max(seconds, 0.0) if seconds == seconds else None  # noqa: PLR0124 - NaN
    with contextlib.suppress(ValueError, TypeError, OverflowError):
        date = email.utils.parsedate_to_datetime(value)
        date = date if date.tzinfo else date.replace(tzinfo=UTC)
        return max((date - (now or datetime.now(UTC))).total_seconds(), 0.0)
    return None


def _message(text: bytes) -> str:
    """What a refusal says, in one line: its JSON's error, message or detail, else its beginning."""
    said: Any = text.decode("utf-8", "replace")
    with contextlib.suppress(ValueError):
        said = json.loads(text)
    for _ in range(3):
        if isinstance(said, Mapping):
            said = next((said[k] for k in ("error", "message", "detail") if said.get(k)), said)
    return " ".join(str(said).split())[:300]


def _address(url: str) -> str:
    """The address as it may be written down: no query, which may carry a key."""
    try:
        parts = urlsplit(str(url))
        host, port = parts.hostname, parts.port
    except ValueError:
        parts, host, port = urlsplit(""), None, None
    if parts.username is not None or parts.password is not None:
        raise ImageError(
            f"Expected no credentials in the address of {host}: give headers={{'Authorization': "
            "'Bearer $NAME'}, where NAME is an environment variable."
        )
    if parts.scheme not in ("http", "https") or not host:
        raise ImageError(
            "Expected an address such as http://host:8000/score, got "
            f"{str(url).partition('?')[0]!r}."
        )
    shown = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{shown}{'' if port is None else f':{port}'}{parts.path}"
