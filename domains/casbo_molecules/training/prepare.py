"""Make a training file from a file of SMILES.

python -m casbo_molecules.training.prepare molecules.csv.gz --out conformers.safetensors
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from ..elements import LARGEST_MOLECULE, SMALLEST_MOLECULE
from .conformers import read_smiles, write_conformers
from .fragments import acceptable, fragments


def whole(smiles: Iterable[str]) -> Iterator[str]:
    """The molecules, as they are, that have a suitable size and pass the rules for fragments."""
    from rdkit import Chem

    for text in smiles:
        molecule = Chem.MolFromSmiles(text)
        if molecule is None:
            continue
        if SMALLEST_MOLECULE <= molecule.GetNumAtoms() <= LARGEST_MOLECULE and acceptable(text):
            yield text


def main() -> None:
    """Parse the command line, cut fragments, embed them, write the file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("smiles", type=Path, help="first column SMILES, plain or gzipped")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument(
        "--whole", action="store_true", help="take small molecules as they are, not fragments"
    )
    parser.add_argument("--molecules", type=int, help="use this many molecules, at random")
    parser.add_argument("--fragments", type=int, help="keep this many at most")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    molecules = list(read_smiles(options.smiles))
    random.Random(options.seed).shuffle(molecules)
    chosen = molecules[: options.molecules]
    found = whole(chosen) if options.whole else fragments(chosen, options.seed)
    written = write_conformers(
        islice(found, options.fragments), options.out, seed=options.seed, workers=options.workers
    )
    sys.stdout.write(f"{written} molecules in {options.out}\n")


if __name__ == "__main__":
    main()
