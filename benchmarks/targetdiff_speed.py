"""Claim: candidates in one pocket are predicted many times faster than one graph at a time.

    python benchmarks/targetdiff_speed.py --protein pocket.pdb --ligand ligand.sdf

One network step of TargetDiff in its published size (random weights: speed does not depend on them)
for several candidates of the ligand's size, plainly (`casbo_molecules.targetdiff.network`: the
whole graph of each candidate, every edge through every layer) and by `casbo_molecules.targetdiff.
inference`, in turns in processes of their own. Printed: seconds per candidate and step (of the
processor on a CPU, so that other programs do not count), the ratio, the peak memory of each
process, and the largest difference of the predicted positions. Without `--protein` the pocket is
random atoms as dense as a protein.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from casbo_molecules.targetdiff import Pocket, TargetDiffConfig, TargetDiffModel
from casbo_molecules.targetdiff.network import Batch, Prediction
from casbo_molecules.targetdiff.pocket import heavy_positions
from casbo_molecules.targetdiff.vocabulary import PROTEIN_FEATURES

DENSITY = 0.05  # heavy atoms of a protein per Å^3


def scene(options: argparse.Namespace) -> tuple[Pocket, torch.Tensor, torch.Tensor]:
    """The pocket, and candidates as noised ligands: positions (B, n, 3) and types (B, n)."""
    generator = torch.Generator().manual_seed(options.seed)
    if options.protein is None:
        side = (options.pocket_atoms / DENSITY) ** (1 / 3)
        places = side * torch.rand(options.pocket_atoms, 3, generator=generator).double()
        features = torch.randint(
            0, 2, (options.pocket_atoms, PROTEIN_FEATURES), generator=generator
        )
        pocket, clean = Pocket(places, features.float()), torch.zeros(options.atoms, 3).double()
    else:
        pocket = Pocket.from_file(options.protein, options.ligand)
        clean = torch.from_numpy(heavy_positions(options.ligand)) - pocket.center
    shape = (options.candidates, len(clean), 3)
    noised = clean + torch.randn(shape, generator=generator, dtype=torch.float64)
    return pocket, noised.float(), torch.randint(0, 13, shape[:2], generator=generator)


def plain(model: TargetDiffModel, pocket: Pocket) -> Callable[..., Prediction]:
    """The plain network on one candidate after the other."""
    protein = (pocket.positions - pocket.center).float().to(model.device)
    features = pocket.features.to(model.device)

    @torch.inference_mode()
    def predict(positions: torch.Tensor, types: torch.Tensor) -> Prediction:
        rows = [
            model.network(
                Batch(
                    protein,
                    features,
                    torch.zeros(len(protein), dtype=torch.long, device=model.device),
                    place,
                    kind,
                    torch.zeros(len(kind), dtype=torch.long, device=model.device),
                )
            )
            for place, kind in zip(positions, types, strict=True)
        ]
        return Prediction(*(torch.stack(parts) for parts in zip(*rows, strict=True)))

    return predict


def measured(options: argparse.Namespace) -> dict[str, object]:
    """Time one way in this process."""
    torch.set_num_threads(options.threads)
    clock = time.process_time if options.device == "cpu" else time.perf_counter
    pocket, positions, types = scene(options)
    model = TargetDiffModel.untrained(TargetDiffConfig(), seed=0)
    model = TargetDiffModel(model.network.to(options.device))
    predict = plain(model, pocket) if options.only == "plain" else model.inside(pocket)
    positions, types = positions.to(options.device), types.to(options.device)
    found = predict(positions, types)
    seconds = []
    for _ in range(options.repeats):
        begun = clock()
        found = predict(positions, types)
        found.positions.cpu()
        seconds.append((clock() - begun) / len(positions))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    if options.device != "cpu":
        peak = torch.cuda.max_memory_allocated() / 2**20
    return {
        "seconds": min(seconds),
        "peak": peak,
        "positions": found.positions.cpu().flatten().tolist(),
        "size": [len(pocket.positions), positions.shape[1]],
    }


def main() -> None:
    """Parse the command line, measure in turns, print the ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--protein", type=Path, help="PDB or mmCIF file")
    parser.add_argument("--ligand", type=Path, help="SDF, MOL, MOL2 or PDB file")
    parser.add_argument("--pocket-atoms", type=int, default=570, help="without --protein")
    parser.add_argument("--atoms", type=int, default=25, help="without --protein")
    parser.add_argument("--candidates", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--pairs", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=("plain", "fast"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only:
        print(json.dumps(measured(options)))
        return
    found: dict[str, list[dict]] = {"plain": [], "fast": []}
    for _ in range(options.pairs):
        for kind, column in found.items():
            command = [sys.executable, __file__, *sys.argv[1:], "--only", kind]
            outcome = subprocess.run(command, capture_output=True, text=True, check=True)
            column.append(json.loads(outcome.stdout.splitlines()[-1]))
    atoms, ligand = found["fast"][0]["size"]
    print(f"{atoms} pocket atoms, {ligand} ligand atoms, {options.candidates} candidates")
    for kind, column in found.items():
        best, peak = (min(row[name] for row in column) for name in ("seconds", "peak"))
        print(f"{kind:5} {best:.4f} s per candidate and step, peak memory {peak:.0f} MiB")
    pairs = zip(found["plain"], found["fast"], strict=True)
    ratios = [slow["seconds"] / fast["seconds"] for slow, fast in pairs]
    apart = np.subtract(found["plain"][0]["positions"], found["fast"][0]["positions"])
    print(f"ratio {np.median(ratios):.1f} ({min(ratios):.1f} to {max(ratios):.1f})")
    print(f"largest difference of positions {np.abs(apart).max():.1e} Å")


if __name__ == "__main__":
    main()
