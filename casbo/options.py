"""Options of a run as a frozen dataclass, to JSON and back: what a domain rebuilds a run from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from typing import Any, ClassVar, Self

from casbo.errors import CasboError


@dataclass(frozen=True)
class RunOptions:
    """Base of a domain's options; its fields hold JSON values, tuples standing for lists."""

    #: What is raised for options that cannot be used: the domain's own error.
    error: ClassVar[type[CasboError]] = CasboError

    @classmethod
    def from_json(cls, options: Mapping[str, Any]) -> Self:
        """The inverse of `to_json`.

        Raises:
            CasboError: When an option is unknown or missing, so written by another version.
        """
        known = {field.name: field for field in fields(cls)}
        needed = {name for name, field in known.items() if _needed(field)}
        unknown, missing = sorted(set(options) - set(known)), sorted(needed - set(options))
        if unknown or missing:
            raise cls.error(
                f"expected the options of {cls.__name__}, got unknown ones: {unknown}, and missed "
                f"{missing}; resume the run with the version of casbo that began it"
            )
        return cls(
            **{
                name: tuple(value) if isinstance(value, list) else value
                for name, value in options.items()
            }
        )

    def to_json(self) -> dict[str, Any]:
        """All options as JSON values."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in asdict(self).items()
        }


def _needed(field: Any) -> bool:  # noqa: ANN401 - a dataclasses.Field of any type
    return field.default is MISSING and field.default_factory is MISSING
