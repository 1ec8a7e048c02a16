"""What a user may say of a docking run: options, a file of settings, terms of an objective."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import molecule_samples  # noqa: F401 - skips without the extra
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from casbo.objective import Clip, Ramp, Term, WeightedProduct, WeightedSum
from casbo_molecules.docking_options import DockingOptions, failure_limit_of
from casbo_molecules.docking_score import DockingScore, docking_objective
from casbo_molecules.docking_settings import read_settings
from casbo_molecules.errors import DockingInputError
from casbo_molecules.filters import Alerts, Size, Substructures, filters_of
from casbo_molecules.objectives import NAMED, objective_of, parse_terms
from casbo_molecules.scaffolds import buckets_of

NEEDED = {"out": "run", "receptor": "protein.pdb"}
COMPONENTS = {name: np.array([0.5, 0.9]) for name in DockingScore.components}


def options(**changes: Any) -> DockingOptions:
    return DockingOptions("run", "protein.pdb", **changes)


def test_a_file_says_the_same_as_the_command_line(tmp_path: Path) -> None:
    stated = {
        **NEEDED,
        "center": "1,2,3.5",
        "size": "20,20,20",
        "atoms": "14,16,18",
        "steer": "positions,types",
        "residue": ["A:45"],
        "steps": 100,
        "keep": ["ZN"],
        "altloc": ["B"],
        "modified": "standard",
        "incomplete": "drop",
        "objective": "product",
        "term": ["vina=2,ramp,-5,-11", "qed"],
        "forbid": ["[N+](=O)[O-]"],
        "alerts": ["PAINS"],
        "max_weight": 400.0,
        "max_rotatable": 6,
        "buckets": 10,
        "queries": 320,
        "failure_limit": 0.9,
    }
    path = tmp_path / "run.toml"
    path.write_text(
        """
        out = "run"
        receptor = "protein.pdb"
        center = [1, 2, 3.5]
        size = [20, 20, 20]
        atoms = [14, 16, 18]
        steer = ["positions", "types"]
        residue = "A:45"
        steps = 100
        keep = ["ZN"]
        altloc = "B"
        modified = "standard"
        incomplete = "drop"
        objective = "product"
        term = ["vina=2,ramp,-5,-11", "qed"]
        forbid = "[N+](=O)[O-]"
        alerts = ["PAINS"]
        max_weight = 400
        max_rotatable = 6
        buckets = 10
        queries = 320
        failure_limit = 0.9
        """
    )
    settings = read_settings(stated)
    assert read_settings({}, path) == settings
    assert settings.atoms == (14, 16, 18)
    assert settings.running.queries == 320
    assert settings.options.residues == ("A:45",)
    assert settings.options.sampler == {"steps": 100}
    assert settings.options.receptor == str(Path("protein.pdb").absolute())
    written = json.loads(json.dumps(settings.options.to_json(), allow_nan=False))
    assert DockingOptions.from_json(written) == settings.options
    assert read_settings({"queries": 64}, path).running.queries == 64


def test_the_file_in_the_documentation(tmp_path: Path) -> None:
    page = Path(__file__).parents[2] / "docs" / "docking.md"
    path = tmp_path / "run.toml"
    path.write_text(page.read_text().split("```toml\n")[1].split("```")[0])
    settings = read_settings({"out": "run"}, path)
    assert settings.atoms == (14, 16, 18)
    assert objective_of(settings.options).direction == "maximize"
    assert len(filters_of(settings.options)) == 3
    assert buckets_of(settings.options) is not None


def test_models_with_a_name_are_no_folders() -> None:
    assert read_settings({**NEEDED, "model": "edm"}).options.model == "edm"
    assert read_settings({**NEEDED, "model": "mine"}).options.model == str(Path("mine").absolute())
    assert read_settings(NEEDED).options.model is None


BAD: Mapping[str, tuple[dict[str, Any], str]] = {
    "no receptor": ({"out": "run"}, "expected --receptor, or receptor in the --config file"),
    "no folder": ({"receptor": "p.pdb"}, "expected --out"),
    "unknown": ({**NEEDED, "colour": "red"}, "'colour'"),
    "own names only": ({**NEEDED, "receptor_sha256": "0"}, "'receptor_sha256'"),
    "a text for a number": ({**NEEDED, "queries": "many"}, "queries to be a whole number"),
    "endless": ({**NEEDED, "padding": float("inf")}, "padding to be a finite number"),
    "two of three": ({**NEEDED, "center": "1,2"}, "--center as three numbers"),
    "words": ({**NEEDED, "size": "a,b,c"}, "--size as three numbers"),
    "sizes": ({**NEEDED, "atoms": "14,many"}, "--atoms as a number, several"),
    "the same size": ({**NEEDED, "atoms": [14, 14]}, "--atoms as a number, several different"),
    "no size": ({**NEEDED, "atoms": []}, "--atoms as a number"),
    "no workers": ({**NEEDED, "workers": 0}, "--workers of 1 or more"),
    "no time": ({**NEEDED, "deadline": 0.0}, "--deadline of 1 or more"),
    "nobody": ({**NEEDED, "population": 0}, "--population of 2 or more"),
    "negative": ({**NEEDED, "seed": -1}, "--seed of 0 or more"),
    "never": ({**NEEDED, "failure_limit": 0.0}, "--failure-limit above 0"),
    "NUL": ({**NEEDED, "receptor": "a\0b"}, "--receptor as a path"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_settings(case: str) -> None:
    stated, words = BAD[case]
    with pytest.raises(DockingInputError, match=words) as caught:
        read_settings(stated)
    assert "\n" not in str(caught.value)


SETTINGS = st.dictionaries(
    st.sampled_from(["center", "atoms", "steer", "term", "keep", "queries", "ph", "buckets", "x"]),
    st.one_of(
        st.text(max_size=8),
        st.integers(),
        st.floats(),
        st.booleans(),
        st.lists(st.text(max_size=4), max_size=3),
        st.lists(st.integers(), max_size=3),
        st.dictionaries(st.text(max_size=2), st.integers(), max_size=2),
    ),
    max_size=4,
)


@given(SETTINGS)
def test_any_settings_are_understood_or_refused(stated: dict[str, Any]) -> None:
    with contextlib.suppress(DockingInputError):
        found = read_settings({**NEEDED, **stated})
        assert DockingOptions.from_json(found.options.to_json()) == found.options


def test_terms_are_the_objects_they_name() -> None:
    terms = parse_terms(["vina=2,ramp,-5,-11", "qed", "sa = -3, clip, 0, 0.7", "logp=1e-1"])
    assert terms == {
        "vina": Term(2.0, Ramp(-5.0, -11.0)),
        "qed": Term(1.0),
        "sa": Term(-3.0, Clip(0.0, 0.7)),
        "logp": Term(0.1),
    }


@given(
    st.sampled_from(DockingScore.components),
    st.floats(allow_nan=False, allow_infinity=False),
    st.floats(-1e3, 1e3),
    st.floats(1e-3, 1e3),
)
def test_every_ramp_can_be_written(name: str, weight: float, none: float, more: float) -> None:
    (term,) = parse_terms([f"{name}={weight!r},ramp,{none!r},{none + more!r}"]).values()
    assert term == Term(weight, Ramp(none, none + more))


TERM = st.lists(
    st.sampled_from([*DockingScore.components, *NAMED, "=", ",", "1", "-2.5", "nan", "inf", " "]),
    max_size=8,
).map("".join)


@given(st.lists(TERM | st.text(max_size=12), max_size=3), st.sampled_from(["sum", "product"]))
def test_any_text_is_an_objective_or_refused(terms: list[str], kind: str) -> None:
    with contextlib.suppress(DockingInputError):
        objective, direction = objective_of(options(term=tuple(terms), objective=kind))
        assert direction == ("maximize" if kind == "product" else "minimize")
        assert objective(COMPONENTS).shape == (2,)  # a product raises where it is negative


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"objective": "mean"}, "--objective as sum or product"),
        ({"term": ("affinity=1",)}, "--term with one of vina, qed"),
        ({"term": ("vina=much",)}, "got 'vina=much': not a number"),
        ({"term": ("vina=nan",)}, "weight to be finite"),
        ({"term": ("vina=1,step,0",)}, "the transforms are identity"),
        ({"term": ("vina=1,ramp,0",)}, "ramp takes none, full"),
        ({"term": ("vina=1,ramp,0,nan",)}, "nan is no number"),
        ({"term": ("vina=1,ramp,3,3",)}, "none and full to differ"),
        ({"term": ("qed=1", "qed=2")}, "one --term for qed"),
        ({"term": ("qed=-8",), "qed_weight": 3.0}, "--qed-weight belongs to the standard sum"),
        ({"objective": "product", "sa_weight": 3.0}, "--sa-weight belongs to the standard sum"),
        (
            {"objective": "product", "term": ("vina=1",)},
            "--term vina to be 0 or more in a product",
        ),
        ({"objective": "product", "term": ("qed=-1",)}, "--term qed with a positive weight"),
        ({"objective": "product", "term": ("qed=1,linear,1,-0.5",)}, "with this transform it can"),
    ],
)
def test_bad_objectives(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(DockingInputError, match=words) as caught:
        objective_of(options(**changes))
    assert "\n" not in str(caught.value)


def test_objectives_by_name() -> None:
    assert objective_of(options()).objective.describe() == docking_objective().describe()
    heavier = objective_of(options(qed_weight=1.0)).objective
    assert heavier.describe() == docking_objective(qed_weight=1.0).describe()
    total = objective_of(options(term=("vina=1", "qed=-2")))
    assert isinstance(total.objective, WeightedSum)
    assert total.objective(COMPONENTS) == pytest.approx([-0.5, -0.9])
    product = objective_of(options(objective="product", term=("qed=3", "sa_normalised=1")))
    assert isinstance(product.objective, WeightedProduct)
    assert product.objective(COMPONENTS) == pytest.approx([0.5, 0.9])
    assert product.direction == "maximize"


def test_filters_by_name() -> None:
    assert filters_of(options()) == []
    asked = options(
        require=("c1ccccc1",), forbid=("[F]", "[Cl]"), alerts=("PAINS", "BRENK"), max_ring=7
    )
    assert filters_of(asked) == [
        Size(largest_ring=7),
        Substructures(forbidden=("[F]", "[Cl]"), required=("c1ccccc1",)),
        Alerts(("PAINS", "BRENK")),
    ]
    assert filters_of(options(max_weight=350.0, max_rotatable=0)) == [
        Size(weight=(0.0, 350.0), rotatable_bonds=0)
    ]
    for changes in ({"forbid": ("nonsense[",)}, {"alerts": ("PAIN",)}, {"max_rotatable": -1}):
        with pytest.raises(DockingInputError, match="expected"):
            filters_of(options(**changes))


def test_filters_raise_the_share_that_may_fail() -> None:
    assert failure_limit_of(options(), None) == 0.5
    assert failure_limit_of(options(max_ring=7), None) == 0.95
    assert failure_limit_of(options(alerts=("PAINS",)), 0.7) == 0.7


def test_buckets_by_name() -> None:
    assert buckets_of(options()) is None
    found = buckets_of(options(buckets=3, bucket_threshold=-7.0, scaffold="generic"))
    assert found is not None
    assert (found.size, found.threshold, found.kind) == (3, -7.0, "generic")
    for changes in ({"buckets": 0}, {"bucket_threshold": -7.0}, {"scaffold": "circular"}):
        with pytest.raises(ValueError, match=r"[Ee]xpected|goes with"):
            buckets_of(options(**changes))
