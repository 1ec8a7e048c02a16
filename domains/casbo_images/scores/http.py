"""A scoring service of your own over HTTP.

The request is a POST with the JSON body::

    {"ids": ["0", "1"], "images": ["iVBORw0...", "iVBORw0..."]}

``images`` are PNG files (RGB) in base64, ``ids`` tell them apart within the request. Requests of
equal content carry equal ``Idempotency-Key`` headers, so a service can recognise one that is sent
again. The answer is a JSON object whose ``scores`` are one of::

    {"scores": [0.3, 0.7]}                                         in the order of the request
    {"scores": {"1": 0.7, "0": 0.3}}                               by id
    {"scores": [{"id": "1", "score": 0.7}, {"id": "0", ...}]}      by id, in any order

In place of a number may stand ``null`` (failed), or an object: ``{"score": 0.7}``, named components
``{"likeness": 0.7, "sharpness": 3.1}``, or ``{"error": "no face found"}``. A reply without ids must
hold one score per picture; with ids, a picture without a score fails alone, and unknown ids are
ignored.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from casbo.errors import CandidateFailed
from casbo.scorer import SCORE, Direction

from ..errors import ImageError
from ..pictures import png_bytes
from .candidates import score_pictures
from .service import Retries, Service

if TYPE_CHECKING:
    from PIL.Image import Image

Entry = dict[str, float | CandidateFailed]


class HttpScore:
    """Scorer: N images -> (N,), or named components (N,), from a service; protocol above.

    Batches are sent one after the other; the failure of one fails its candidates only. With
    ``workers`` candidates come one by one, each in a request of its own.

    Arguments:
        url: The service's address.
        components: The names of the scores it returns for each picture; None for one number.
        direction: Whether high or low scores are good.
        timeout: Seconds an attempt may take.
        attempts: How often a request is sent at most.
        headers: Sent with each request. ``{"Authorization": "Bearer $NAME"}`` takes the secret from
            the environment when it is sent; a secret written out goes to the workers as it is.
        batch: How many pictures a request holds at most.
        retries: All about waits; takes the place of ``attempts``.

    Raises:
        ImageError: When the address or an option cannot be used.
    """

    def __init__(
        self,
        url: str,
        *,
        components: Sequence[str] | None = None,
        direction: Direction = "maximize",
        timeout: float = 60.0,
        attempts: int = 5,
        headers: Mapping[str, str] | None = None,
        batch: int = 8,
        retries: Retries | None = None,
    ) -> None:
        if batch < 1:
            raise ImageError(f"Expected batch >= 1 pictures in a request, got {batch}.")
        if isinstance(components, str) or (components is not None and not components):
            raise ImageError(f"Expected the names of components or None, got {components!r}.")
        self.components = (SCORE,) if components is None else tuple(components)
        self.direction = direction
        self.batch = batch
        self.service = Service(
            url, timeout=timeout, retries=retries or Retries(attempts), headers=headers
        )

    def prepare(self) -> None:
        """Make this process's client; nothing is sent."""
        self.service.prepare()

    def __call__(self, samples: Sequence[Image]) -> dict[str, list[float | CandidateFailed]]:
        rows = score_pictures(samples, self._rows)
        return {
            name: [row if isinstance(row, CandidateFailed) else row[name] for row in rows]
            for name in self.components
        }

    def describe(self) -> dict[str, Any]:
        """What identifies this scorer, as JSON values; of the headers, their names."""
        components = list(self.components)
        return {"name": "HttpScore", "components": components, **self.service.describe()}

    def _rows(self, pictures: list[Image]) -> list[Entry | CandidateFailed]:
        rows: list[Entry | CandidateFailed] = []
        for first in range(0, len(pictures), self.batch):
            part = pictures[first : first + self.batch]
            ids = [str(first + index) for index in range(len(part))]
            try:
                rows += self._ask(ids, part)
            except CandidateFailed as reason:
                rows += [reason] * len(part)
        return rows

    def _ask(self, ids: list[str], pictures: list[Image]) -> list[Entry | CandidateFailed]:
        images = [base64.b64encode(png_bytes(picture)).decode("ascii") for picture in pictures]
        answer = self.service.post({"ids": ids, "images": images})
        try:
            entries = attributed(answer, ids)
        except CandidateFailed as reason:
            raise CandidateFailed(f"{self.service.address}: {reason}") from None
        return [_entry(entry, self.components) for entry in entries]


def attributed(answer: object, ids: Sequence[str]) -> list[Any]:
    """The answer's entry for each id, in the order of the ids.

    Raises:
        CandidateFailed: When it cannot be told which score is whose.
    """
    scores = answer.get("scores") if isinstance(answer, Mapping) else None
    if isinstance(scores, Mapping):
        return [scores.get(name, CandidateFailed(f"no score for id {name!r}")) for name in ids]
    if not isinstance(scores, list):
        raise CandidateFailed(
            f"expected a JSON object with 'scores', a list or an object, got {answer!r:.120}"
        )
    named = [entry for entry in scores if isinstance(entry, Mapping) and "id" in entry]
    if not named:
        if len(scores) != len(ids):
            raise CandidateFailed(f"expected {len(ids)} scores, got {len(scores)}, without ids")
        return scores
    by_id = {str(entry["id"]): entry for entry in named}
    if len(by_id) != len(scores):
        raise CandidateFailed(
            f"expected an id of its own for each of {len(scores)} scores, got {len(by_id)}"
        )
    return attributed({"scores": by_id}, ids)


def _entry(entry: object, names: Sequence[str]) -> Entry | CandidateFailed:
    """One candidate's components from what stands in the answer."""
    if isinstance(entry, CandidateFailed):
        return entry
    if not isinstance(entry, Mapping):
        if tuple(names) != (SCORE,):
            return CandidateFailed(f"expected the components {list(names)}, got {entry!r:.60}")
        entry = {SCORE: entry}
    if entry.get("error"):
        return CandidateFailed(f"the service says: {entry['error']!s:.200}")
    return {name: _number(entry, name) for name in names}


def _number(entry: Mapping[str, Any], name: str) -> float | CandidateFailed:
    if name not in entry:
        return CandidateFailed(f"no {name!r} among the components {sorted(entry)}")
    value = entry[name]
    if value is None:
        return CandidateFailed(f"{name}: the service returned null")
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return CandidateFailed(f"{name}: expected a number, got {value!r:.60}")
    try:
        return float(value)
    except OverflowError:
        return CandidateFailed(f"{name}: expected a number, got one of more than 300 digits")
