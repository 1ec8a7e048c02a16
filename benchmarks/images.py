"""Claim: steering from "a shape" lifts the mean of fresh pictures above the 99th percentile of plain ones.

    python benchmarks/images.py --out build/images

For each of six targets: as many plain pictures as scores are spent on steering (640), CLIP
similarity of both to the target, and what the detector, which is never steered, says of them.
Prints a table for each seed and writes ``seed-N/targets.png``: for each target a row of plain
pictures and a row of fresh steered ones with the same seeds.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from casbo.atomic import write_atomically
from casbo_images.demonstration import TARGETS, VAGUE_PROMPT, Plain, demonstrate, table
from casbo_images.options import ImageOptions
from casbo_images.pictures import grid, png_bytes, read_image


def main() -> None:
    """Parse the command line, run, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("build/images"))
    parser.add_argument("--queries", type=int, default=640)
    parser.add_argument("--fresh", type=int, default=64)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--steps", type=int, default=ImageOptions(prompt="").steps)
    parser.add_argument("--scheduler")
    parser.add_argument("--targets", type=int, default=len(TARGETS), help="the first so many")
    options = parser.parse_args()

    images = ImageOptions(prompt=VAGUE_PROMPT, steps=options.steps, scheduler=options.scheduler)
    for seed in options.seeds:
        out = options.out / f"seed-{seed}"
        plain = Plain(images, options.queries, seed)
        shown = [
            demonstrate(
                target,
                out,
                plain=plain,
                queries=options.queries,
                fresh=options.fresh,
                seed=seed,
                options=images,
            )
            for target in TARGETS[: options.targets]
        ]
        print(f"seed {seed}\n{table(shown)}")
        print(
            f"reached on {sum(one.reached for one in shown)} of {len(shown)} targets, confirmed "
            f"on {sum(one.reached and one.confirmed for one in shown)} of these",
            flush=True,
        )
        rows = grid([read_image(one.picture) for one in shown], columns=1)
        write_atomically(out / "targets.png", png_bytes(rows))


if __name__ == "__main__":
    main()
