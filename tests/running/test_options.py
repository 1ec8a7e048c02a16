"""Options of a run: to JSON and back, and what is said of those that do not fit."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casbo.errors import CasboError
from casbo.options import RunOptions


@dataclass(frozen=True)
class Options(RunOptions):
    """One field of every kind that a domain has."""

    prompt: str
    count: int
    scale: float | None = None
    names: tuple[str, ...] = ("one",)
    size: tuple[float, ...] | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


numbers = st.floats(allow_nan=False, allow_infinity=False)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | numbers | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
options = st.builds(
    Options,
    prompt=st.text(),
    count=st.integers(),
    scale=st.none() | numbers,
    names=st.lists(st.text()).map(tuple),
    size=st.none() | st.lists(numbers).map(tuple),
    extra=st.dictionaries(st.text(), json_values, max_size=3),
)


@given(options)
def test_json_and_back_is_the_same(given: Options) -> None:
    written = json.loads(json.dumps(given.to_json(), allow_nan=False))
    assert Options.from_json(written) == given
    assert Options.from_json(given.to_json()) == given


@given(options)
def test_json_holds_every_field_and_nothing_of_the_options_own(given: Options) -> None:
    written = given.to_json()
    assert set(written) == {f.name for f in dataclasses.fields(Options)}
    before = json.dumps(given.to_json())
    written["names"].append("another")
    written["extra"]["another"] = 1
    assert json.dumps(given.to_json()) == before


def test_what_is_left_out_takes_its_default() -> None:
    assert Options.from_json({"prompt": "x", "count": 3}) == Options("x", 3)


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"color": 1}, "['color']"),
        ({"prompt": None, "count": None}, "['count', 'prompt']"),  # None stands for left out
        ({"count": None, "zeal": 2}, "['zeal'], and missed ['count']"),
    ],
)
def test_unknown_and_missing_options_are_named(changed: dict[str, Any], named: str) -> None:
    values = {**Options("x", 3).to_json(), **changed}
    values = {k: v for k, v in values.items() if v is not None or k not in changed}
    with pytest.raises(CasboError) as caught:
        Options.from_json(values)
    assert named in str(caught.value)
    assert "version of casbo" in str(caught.value)
