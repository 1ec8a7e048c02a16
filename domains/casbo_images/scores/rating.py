"""The number in a language model's reply: the one it means, or none."""

from __future__ import annotations

import contextlib
import json
import math
import re
from collections.abc import Mapping

from casbo.errors import CandidateFailed

_NUMBER = r"[-+]?(?:[0-9]+(?:[.,][0-9]+)?|\.[0-9]+)"
_FREE = rf"(?<![\w.,])({_NUMBER})(?![\w]|[.,][0-9])"
_LABELLED = re.compile(
    rf"(?:scor(?:e|ing)|rating|rate[ds]?|answer)\b[^0-9+\n-]{{0,20}}?{_FREE}", re.IGNORECASE
)
_THOUGHTS = re.compile(r"<think(?:ing)?>.*?</think(?:ing)?>", re.DOTALL | re.IGNORECASE)
_FENCE = re.compile(r"```(?:json)?\s*(.*?)```", re.DOTALL | re.IGNORECASE)
KEYS = ("score", "rating", "value", "answer")


def rating(reply: str, low: float, high: float) -> float:
    """The one number in [low, high] that a reply gives.

    Looked for in this order: JSON, "7/10" and "7 out of 10" (where 10 is ``high``), "Score: 7", and
    a number that is the only one. Where one of these finds several that differ, the reply is
    ambiguous. What a model thinks aloud between ``<think>`` tags is left out, and so is a mention
    of the scale ("from 0 to 10").

    Raises:
        CandidateFailed: When there is no number, more than one, or one outside [low, high]; the
            message holds the reply's beginning.
    """
    text = _THOUGHTS.sub(" ", reply).replace("\u2212", "-").strip()
    found = _json_numbers(text)
    if found is None:
        text = _without_scale(text, low, high)
        found = next(filter(None, (_written(text, way) for way in _ways(high))), set())
    shown = f"the reply begins {reply[:80]!r}"
    if len(found) != 1:
        kinds = "no number" if not found else f"several numbers {sorted(found)}"
        raise CandidateFailed(f"expected a number from {low:g} to {high:g}, got {kinds}; {shown}")
    (number,) = found
    if not low <= number <= high:  # NaN is outside too
        raise CandidateFailed(
            f"expected a number from {low:g} to {high:g}, got {number:g}; {shown}"
        )
    return number


def _ways(high: float) -> list[re.Pattern[str]]:
    """Patterns of a rating, the surest first."""
    of_high = (
        rf"\s*\**\s*(?:/|out\s+of|of)\s*\**{re.escape(f'{high:g}')}(?:[.,]0+)?(?![\w]|[.,][0-9])"
    )
    share = rf"(?<![\w.,])({_NUMBER}){of_high}"
    return [re.compile(share, re.IGNORECASE), _LABELLED, re.compile(_FREE)]


def _written(text: str, way: re.Pattern[str]) -> set[float]:
    return {float(match.replace(",", ".")) for match in way.findall(text)}


def _without_scale(text: str, low: float, high: float) -> str:
    ends = rf"{re.escape(f'{low:g}')}\s*(?:to|-|\u2013|and|through)\s*{re.escape(f'{high:g}')}"
    return re.sub(rf"(?<![\w.,-]){ends}(?![\w]|[.,][0-9])", " ", text, flags=re.IGNORECASE)


def _json_numbers(text: str) -> set[float] | None:
    """The numbers under a JSON reply's score, else all in it; None when it is no JSON object."""
    fenced = _FENCE.search(text)
    value = None
    with contextlib.suppress(ValueError):
        value = json.loads(fenced[1] if fenced else text)
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if not isinstance(value, Mapping):
        return None
    lowered = {str(name).lower(): entry for name, entry in value.items()}
    wanted = [lowered[name] for name in KEYS if name in lowered][:1] or list(lowered.values())
    return {number for number in map(_number, wanted) if not math.isnan(number)}


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return math.nan
    if isinstance(value, str) and not re.fullmatch(_NUMBER, value.strip()):
        return math.nan
    return float(str(value).replace(",", "."))  # through text: a huge integer becomes infinite
