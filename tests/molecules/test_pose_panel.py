"""The report's viewer of poses: complete, harmless, and alive in a browser without network."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from molecule_samples import conformer
from rdkit import Chem

from casbo.ledger import Ledger
from casbo.panel import script_source
from casbo.report import render
from casbo_molecules.interactions import Interaction
from casbo_molecules.metrics import chemistry_metrics
from casbo_molecules.pose_analysis import PoseAnalysis
from casbo_molecules.pose_panel import ReceptorAtoms, docking_panels
from casbo_molecules.properties import properties
from casbo_molecules.receptor import prepare_receptor
from casbo_molecules.run_metrics import RunMetrics, write_metrics
from casbo_molecules.tables import write_poses

CENTER = (3.0, 0.5, 10.0)  # in the pocket of the embedded receptor
SMILES = ("COc1ccc(CCN)cc1", "CC(=O)Nc1ccccc1", "O=C(O)Cc1ccc(Cl)cc1")
BROWSER = next(
    (
        path
        for name in ("chromium", "chromium-browser", "google-chrome")
        if (path := shutil.which(name))
    ),
    None,
)


def pose(smiles: str) -> Chem.Mol:
    mol = Chem.AddHs(conformer(smiles), addCoords=True)
    shift = np.array(CENTER) - mol.GetConformer().GetPositions().mean(axis=0)
    for index, xyz in enumerate(mol.GetConformer().GetPositions() + shift):
        mol.GetConformer().SetAtomPosition(index, xyz.tolist())
    return mol


@pytest.fixture(scope="module")
def run(target_files: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a docking run leaves that the panels are made from."""
    folder = tmp_path_factory.mktemp("run")
    receptor = prepare_receptor(target_files[0], folder=folder)
    (folder / "receptor.pdbqt").write_bytes(receptor.pdbqt.read_bytes())
    poses = [pose(smiles) for smiles in SMILES]
    scores = [
        {"vina": vina, "score": vina - 5.0, **properties(Chem.RemoveHs(mol))}
        for vina, mol in zip((-6.5, -6.0, -5.5), poses, strict=True)
    ]
    write_poses(poses, scores, folder / "best.sdf")
    analyses = (
        PoseAnalysis((), 3.25, (Interaction("ASP129.A", "Cationic"),)),
        PoseAnalysis(("bond_lengths",), 0.5, ()),
        PoseAnalysis((), float("nan"), (Interaction("</script><b>1.A", "HBDonor"),)),
    )
    metrics = chemistry_metrics(poses, vina=[-6.5, -6.0, -5.5])
    write_metrics(RunMetrics(metrics, analyses, None, float("nan")), folder)
    return folder


@pytest.fixture(scope="module")
def page(run: Path) -> str:
    ledger = Ledger()
    html = render({"direction": "minimize"}, ledger, "run", {}, panels=docking_panels(run))
    ledger.close()
    return html


def test_the_table_has_every_pose_and_score(page: str) -> None:
    assert list(re.findall("<h2>(.*?)</h2>", page))[:2] == [
        "Metrics",
        "Best molecules in the pocket",
    ]
    for smiles in SMILES:
        assert f'alt="{Chem.CanonSmiles(smiles)}"' in page
    assert page.count('src="data:image/svg+xml;base64,') == 3
    assert "fails 1" in page
    assert "-6.00 kcal/mol" in page


def test_what_a_run_says_stays_text(page: str) -> None:
    """A hostile name of a residue ends neither the data nor the page."""
    assert "<b>1.A" not in page
    (data,) = re.findall(r'id="poses-data">(.*?)</script>', page, re.DOTALL)
    scene = json.loads(data)
    assert "</script><b>1.A HBDonor" in scene["poses"][2]["caption"]
    assert len(scene["poses"]) == 3


def test_the_scene_is_the_pocket_and_the_backbone(run: Path, page: str) -> None:
    (data,) = re.findall(r'id="poses-data">(.*?)</script>', page, re.DOTALL)
    scene = json.loads(data)
    atoms = ReceptorAtoms.read((run / "receptor.pdbqt").read_text())
    poses = np.concatenate([pose(smiles).GetConformer().GetPositions() for smiles in SMILES])
    gaps = np.linalg.norm(atoms.positions[:, None] - poses, axis=2).min(axis=1)
    near = {atoms.residues[index] for index in np.flatnonzero(gaps < 5.0)}
    assert atoms.near(poses) == near
    assert scene["pocket"] == sorted({int(number) for _, _, number in near})
    drawn = [line for line in scene["receptor"].splitlines() if line.startswith("ATOM")]
    whole = {line[17:26] for line in atoms.lines}
    assert {line[17:26] for line in drawn if line[12:16].strip() == "CA"} <= whole
    assert len(drawn) < len(atoms.lines) / 2
    (placed,) = scene["poses"][0]["contacts"]
    index = [i for i, r in enumerate(atoms.residues) if r == ("A", "ASP", "129")]
    np.testing.assert_allclose(placed["at"], atoms.positions[index].mean(axis=0), atol=0.006)


def test_a_run_without_poses_has_no_panel(tmp_path: Path) -> None:
    assert docking_panels(tmp_path) == []
    (tmp_path / "metrics.json").write_text("[1")
    (tmp_path / "best.sdf").write_bytes(b"\xff\xfe nothing")
    assert docking_panels(tmp_path) == []


WATCH = """
window.asked = [];
document.addEventListener("securitypolicyviolation", (event) => {
  if (event.effectiveDirective !== "script-src-elem") asked.push(event.blockedURI);
});
const open = XMLHttpRequest.prototype.open;
XMLHttpRequest.prototype.open = function (method, url) {
  asked.push(url);
  return open.apply(this, arguments);
};
const fetched = window.fetch;
window.fetch = function (url) { asked.push(String(url)); return fetched.apply(this, arguments); };
"""
CLICK = """
const heading = document.querySelectorAll("#poses th")[3];  // Vina
heading.click();
heading.click();
document.querySelector("#poses tbody tr").click();
for (const entry of performance.getEntriesByType("resource")) {
  if (!entry.name.startsWith("data:")) asked.push(entry.name);
}
document.body.dataset.asked = JSON.stringify(asked);
"""


@pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine")
def test_a_browser_draws_the_pose_and_asks_no_network(page: str, tmp_path: Path) -> None:
    """Under the page's own policy, to which only the two scripts above are added."""
    assert BROWSER is not None
    allowed = f"script-src {script_source(WATCH)} {script_source(CLICK)} "
    watched = page.replace("script-src ", allowed, 1)
    watched = watched.replace("<style>", f"<script>{WATCH}</script><style>", 1)
    stranger = "<script>document.title = 'stranger'</script>"
    watched = watched.replace("</body>", f"<script>{CLICK}</script>{stranger}</body>")
    path = tmp_path / "report.html"
    path.write_text(watched, encoding="utf-8")
    command = [BROWSER, "--headless", "--no-sandbox", "--virtual-time-budget=5000", "--dump-dom"]
    drawing = ["--use-angle=swiftshader", "--enable-unsafe-swiftshader"]  # without a graphics card
    alone = ["--proxy-server=127.0.0.1:9", f"--user-data-dir={tmp_path / 'profile'}"]
    shown = subprocess.run(
        [*command, *drawing, *alone, path.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    ).stdout
    stage = re.search(r'<div class="stage"[^>]*>.*?</div>', shown, re.DOTALL)
    assert stage is not None
    assert "<canvas" in stage[0]
    assert 'data-shown="2"' in stage[0]  # sorted twice, the worst energy is on top
    assert 'aria-sort="descending"' in shown
    assert 'data-asked="[]"' in shown
    assert "<title>run - casbo</title>" in shown
