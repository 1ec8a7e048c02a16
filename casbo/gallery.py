"""The gallery: pictures of some candidates of every iteration, for the report to show the course.

::

    RUN/gallery/000012.json      data URIs of the first candidates of iteration 12

A file is written whole or not at all. Pictures come from `Rollout.picture`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from casbo.atomic import write_atomically
from casbo.errors import RunFolderError

#: How many iterations the report shows, spread evenly over the run.
SHOWN = 8


class Gallery:
    """The pictures of a run's iterations, in a folder of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def add(self, iteration: int, pictures: Sequence[str]) -> None:
        """Keep the pictures (data URIs) of an iteration.

        Raises:
            RunFolderError: When they cannot be written.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunFolderError(f"Could not make {self.folder} ({error}).") from error
        path = self.folder / f"{iteration:06d}.json"
        write_atomically(path, json.dumps(list(pictures)).encode())

    def course(self, most: int = SHOWN) -> Mapping[int, Sequence[str]]:
        """Pictures by iteration, for at most ``most`` iterations, the first and the last among them.

        A file that cannot be read is left out: the report does without.
        """
        paths = sorted(self.folder.glob("[0-9]*.json")) if self.folder.is_dir() else []
        if len(paths) > most:
            last = len(paths) - 1
            paths = [paths[round(place * last / max(1, most - 1))] for place in range(most)]
        found = {int(path.stem): _read(path) for path in paths if path.stem.isdigit()}
        return {iteration: pictures for iteration, pictures in found.items() if pictures}


def _read(path: Path) -> list[str]:
    try:
        pictures = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    return [p for p in pictures if isinstance(p, str)] if isinstance(pictures, list) else []
