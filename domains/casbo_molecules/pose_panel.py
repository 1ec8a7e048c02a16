"""The report's panels of a docking run: its metrics, and its best poses to look at in the pocket.

The viewer is 3Dmol.js (Rego and Koes, Bioinformatics 2015, 31, 1322), which lies with its licence
in ``viewer/``; it is written into the page, which therefore needs no network.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from casbo.panel import Panel
from casbo.picture import picture_uri

from .metrics.table import shown
from .pose_analysis import PoseAnalysis
from .tables import read_poses

if TYPE_CHECKING:
    from jinja2 import Environment
    from rdkit.Chem import Mol

VIEWER = Path(__file__).parent / "viewer"
POCKET = 5.0  # Å; residues with an atom this close to a pose are drawn whole
MOST_RESIDUES = 1500  # of which the backbone is drawn; of a larger receptor, the pocket only
COLOURS = {"C": "#8a97a6", "N": "#3b5fc0", "O": "#c43c35", "S": "#c9a227", "H": "#d5dae0"}
SCORES = (("score", "objective"), ("vina", "Vina"), ("qed", "QED"), ("sa_normalised", "SA"))


@dataclass(frozen=True)
class Cell:
    """A cell of the table: what is shown, and what it is sorted by."""

    text: str
    value: str
    kind: str = "number"


@dataclass(frozen=True)
class Column:
    """A column after the rank and the molecule."""

    label: str
    kind: str = "number"


def docking_panels(run: Path) -> list[Panel]:
    """The panels of a run folder: as much as its ``metrics.json`` and ``best.sdf`` allow.

    What is missing or damaged is left out: a report must not fail for want of a picture.
    """
    try:
        measured = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
        rows = shown(measured["metrics"])
        analyses = [PoseAnalysis.from_json(values) for values in measured["poses"]]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        rows, analyses = [], []
    panels = []
    if rows:
        html = _environment().get_template("metrics.html.j2").render(rows=rows)
        panels.append(Panel("Metrics", html, _viewer_file("poses.css")))
    poses = read_poses(run / "best.sdf")
    if poses:
        matching = analyses if len(analyses) == len(poses) else [None] * len(poses)
        panels.append(pose_panel(poses, _text(run / "receptor.pdbqt"), matching))
    return panels


def pose_panel(
    poses: Sequence[Mol], receptor: str, analyses: Sequence[PoseAnalysis | None]
) -> Panel:
    """A table of poses beside a viewer that shows the chosen one in the receptor.

    Parameters
    ----------
    poses
        Docked molecules, best first, their scores as properties.
    receptor
        PDBQT text; empty shows the poses alone.
    analyses
        What is known of each pose besides.
    """
    atoms = ReceptorAtoms.read(receptor)
    near = atoms.near(np.concatenate([mol.GetConformer().GetPositions() for mol in poses]))
    data = {
        "receptor": atoms.drawn(near),
        "colours": COLOURS,
        "pocket": sorted({int(number) for _, _, number in near}),
        "poses": [
            _scene(mol, analysis, atoms) for mol, analysis in zip(poses, analyses, strict=True)
        ],
    }
    html = (
        _environment()
        .get_template("poses.html.j2")
        .render(
            columns=_columns(),
            rows=[_row(mol, analysis) for mol, analysis in zip(poses, analyses, strict=True)],
            data=data,
        )
    )
    scripts = [_viewer_file("3Dmol-min.js"), _viewer_file("poses.js")]
    return Panel("Best molecules in the pocket", html, _viewer_file("poses.css"), scripts)


@dataclass(frozen=True)
class ReceptorAtoms:
    """The atoms of a PDBQT text.

    Parameters
    ----------
    lines
        n records in PDB format.
    positions
        Å, with shape (n, 3).
    residues
        (chain, name, number) of each.
    """

    lines: tuple[str, ...]
    positions: np.ndarray
    residues: tuple[tuple[str, str, str], ...]

    @classmethod
    def read(cls, pdbqt: str) -> ReceptorAtoms:
        """Read the records; text without any gives no atoms."""
        from .pdbqt import to_pdb

        lines = tuple(line for line in to_pdb(pdbqt).splitlines() if line != "END")
        positions = [[float(line[start : start + 8]) for start in (30, 38, 46)] for line in lines]
        residues = tuple(
            (line[21].strip(), line[17:20].strip(), line[22:26].strip()) for line in lines
        )
        return cls(lines, np.array(positions).reshape(-1, 3), residues)

    def near(self, positions: np.ndarray) -> set[tuple[str, str, str]]:
        """Residues with an atom within :data:`POCKET` Å of any of the positions (m, 3)."""
        from scipy.spatial import cKDTree

        if not self.lines:
            return set()
        distances, _ = cKDTree(positions).query(self.positions)
        return {self.residues[index] for index in np.flatnonzero(distances < POCKET)}

    def drawn(self, near: set[tuple[str, str, str]]) -> str:
        """The pocket's heavy and polar atoms, and the backbone of everything, as PDB text."""
        backbone = {"N", "CA", "C", "O"} if len(set(self.residues)) <= MOST_RESIDUES else set()
        kept = [
            line
            for line, residue in zip(self.lines, self.residues, strict=True)
            if line[12:16].strip() in backbone or (residue in near and line[77] != "H")
        ]
        return "\n".join([*kept, "END", ""])

    def centre(self, name: str) -> list[float] | None:
        """The centre in Å of a residue that ProLIF calls ``name``, such as "ASP129.A"."""
        wanted, _, chain = name.partition(".")
        found = [
            index
            for index, (own_chain, residue, number) in enumerate(self.residues)
            if residue + number == wanted and own_chain == chain
        ]
        return [round(float(x), 2) for x in self.positions[found].mean(axis=0)] if found else None


def _columns() -> list[Column]:
    return [
        *(Column(label) for _, label in SCORES),
        Column("PoseBusters", "text"),
        Column("strain"),
    ]


def _row(mol: Mol, analysis: PoseAnalysis | None) -> dict[str, Any]:
    from rdkit import Chem

    from .depiction import formula

    flat = Chem.RemoveHs(mol)
    return {
        "smiles": Chem.MolToSmiles(flat),
        "picture": picture_uri(formula(flat)),
        "cells": [
            *(_number(mol, name) for name, _ in SCORES),
            *_analysed(analysis),
        ],
    }


def _analysed(analysis: PoseAnalysis | None) -> list[Cell]:
    if analysis is None:
        return [Cell("-", "", "text"), Cell("-", "")]
    failed = len(analysis.failed_checks)
    verdict = f"fails {failed}" if failed else "passes"
    known = math.isfinite(analysis.strain)
    return [
        Cell(verdict, verdict, "text"),
        Cell(f"{analysis.strain:.1f}" if known else "-", str(analysis.strain) if known else ""),
    ]


def _number(mol: Mol, name: str) -> Cell:
    try:
        value = float(mol.GetProp(name))
    except (KeyError, ValueError):
        return Cell("-", "")
    return Cell(f"{value:.4g}", str(value)) if math.isfinite(value) else Cell("-", "")


def _scene(mol: Mol, analysis: PoseAnalysis | None, atoms: ReceptorAtoms) -> dict[str, Any]:
    from rdkit import Chem

    contacts: dict[str, list[str]] = {}
    for one in () if analysis is None else analysis.interactions:
        contacts.setdefault(one.residue, []).append(one.kind)
    texts = {residue: f"{residue} {', '.join(kinds)}" for residue, kinds in contacts.items()}
    places = {residue: atoms.centre(residue) for residue in texts}
    return {
        "mol": Chem.MolToMolBlock(mol),
        "contacts": [
            {"text": texts[residue], "at": at} for residue, at in places.items() if at is not None
        ],
        "caption": _caption(mol, analysis, list(texts.values())),
    }


def _caption(mol: Mol, analysis: PoseAnalysis | None, contacts: Sequence[str]) -> str:
    from rdkit import Chem

    energy = _number(mol, "vina").text
    parts = [f"{Chem.MolToSmiles(Chem.RemoveHs(mol))}: {energy} kcal/mol"]
    if analysis is not None and analysis.failed_checks:
        parts.append(f"PoseBusters finds fault with: {', '.join(analysis.failed_checks)}")
    if contacts:
        parts.append(f"contacts: {'; '.join(contacts)}")
    return ". ".join(parts) + ". Drag to turn, scroll to zoom."


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""


@cache
def _viewer_file(name: str) -> str:
    return (VIEWER / name).read_text(encoding="utf-8")


def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader

    return Environment(
        loader=FileSystemLoader(VIEWER), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
