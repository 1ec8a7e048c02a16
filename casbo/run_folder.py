"""The run folder: everything about a run, and what makes it go on after a kill.

::

    RUN/
      config.json          what was asked for (docs/run-folders.md lists the keys)
      ledger.sqlite        one row per query
      checkpoints/         the optimiser's state, the last generations
      controls.safetensors what was learned, at the last orderly stop
      samples/             the best samples, in the domain's own formats
      gallery/             pictures of every iteration, where asked for
      report.html          one file, no network
      lock                 held while a process works on the run

The lock is the kernel's (flock): it ends with the process, however that ends.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from casbo.atomic import remove_leftovers, write_atomically
from casbo.errors import RunFolderError
from casbo.ledger import Ledger

#: Keys of the config that may differ when a run goes on: they do not change its course.
FREE_KEYS = frozenset(
    {"queries", "workers", "deadline", "keep", "failure_limit", "casbo_version", "domain"}
)

#: In a folder of several runs that one command started: what it was asked for (`casbo.domains`).
PARTS = "parts.json"


class RunFolder:
    """The paths of a run; a context manager that holds the run's lock once opened."""

    def __init__(self, path: str | Path) -> None:
        try:
            self.path = Path(path).expanduser().absolute()
            os.stat(self.path)
        except FileNotFoundError:
            pass  # it will be made, or missed by name
        except (ValueError, OSError) as error:  # e.g. a NUL in the name
            raise RunFolderError(
                f"Expected the path of a folder, got {path!r} ({error})."
            ) from error
        self.config_path = self.path / "config.json"
        self.ledger_path = self.path / "ledger.sqlite"
        self.checkpoints = self.path / "checkpoints"
        self.controls = self.path / "controls.safetensors"
        self.samples = self.path / "samples"
        self.gallery = self.path / "gallery"
        self.report = self.path / "report.html"
        self._lock: IO[bytes] | None = None

    @classmethod
    def existing(cls, path: str | Path) -> RunFolder:
        """The run folder at ``path``.

        Raises:
            RunFolderError: When there is no run.
        """
        folder = cls(path)
        if not folder.config_path.is_file() and (folder.path / PARTS).is_file():
            parts = sorted(config.parent.name for config in folder.path.glob("*/config.json"))
            raise RunFolderError(
                f"Expected one run, got a folder of several: name one of "
                f"{', '.join(parts) or 'them once they have begun'} in {folder.path}."
            )
        if not folder.config_path.is_file():
            raise RunFolderError(
                f"Expected a run folder with a config.json, got {folder.path}"
                f"{'' if folder.path.is_dir() else ', which does not exist'}."
            )
        return folder

    def open(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """Make the folder, or go on with the run in it; takes the lock.

        Arguments:
            config: What is asked for, as JSON values.

        Returns:
            The config in force, as written.

        Raises:
            RunFolderError: When the folder holds something else, a run with another
                config, or a run another process is working on.
        """
        asked = json.loads(json.dumps(config, allow_nan=False))
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunFolderError(
                f"Could not make the run folder {self.path} ({error})."
            ) from error
        self.lock()
        try:
            remove_leftovers(self.path)
            if self.config_path.is_file():
                known = self.read_config()
                self._check_same(known, asked)
                # the version that started a run is the one that reproduces it
                asked["casbo_version"] = known.get("casbo_version")
            elif any(entry.name != "lock" for entry in self.path.iterdir()):
                raise RunFolderError(
                    f"Expected {self.path} to be new, empty or a run; it holds other files and no "
                    "config.json. Choose another folder."
                )
            self.write_config(asked)
        except BaseException:
            self.close()
            raise
        return dict(asked)

    def read_config(self) -> dict[str, Any]:
        """The config as written.

        Raises:
            RunFolderError: When it cannot be read or is no JSON object.
        """
        try:
            config = json.loads(self.config_path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise RunFolderError(f"Could not read {self.config_path} ({error}).") from error
        if not isinstance(config, dict):
            raise RunFolderError(f"Expected {self.config_path} to hold an object, got a list.")
        return config

    def write_config(self, config: Mapping[str, Any]) -> None:
        """Write the config, whole or not at all."""
        text = json.dumps(config, indent=2, sort_keys=True, allow_nan=False) + "\n"
        write_atomically(self.config_path, text.encode())

    def open_ledger(self) -> Ledger:
        """The run's ledger."""
        return Ledger(self.ledger_path)

    def lock(self) -> None:
        """Keep other processes from working on the run.

        Raises:
            RunFolderError: When one does already.
        """
        try:
            file = (self.path / "lock").open("ab")
        except OSError as error:
            raise RunFolderError(f"Could not open {self.path / 'lock'} ({error}).") from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.close()
            raise RunFolderError(
                f"Another process is working on {self.path}: wait for it, or stop it first."
            ) from error
        os.set_inheritable(file.fileno(), False)
        self._lock = file

    def close(self) -> None:
        """Give the lock back."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _check_same(self, known: Mapping[str, Any], asked: Mapping[str, Any]) -> None:
        differing = sorted(
            key
            for key in known.keys() | asked.keys()
            if key not in FREE_KEYS and known.get(key) != asked.get(key)
        )
        if differing:
            key = differing[0]
            raise RunFolderError(
                f"Expected the settings of the run in {self.path}, got others for {differing} "
                f"({key}: run {known.get(key)!r}, asked {asked.get(key)!r}). "
                "Use the same settings to go on, or another folder for another run."
            )
