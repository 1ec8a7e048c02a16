"""What a part of a rule remembers between iterations, as tensors in the rule's memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import ClassVar, Self

import torch
from torch import Tensor


@dataclass(frozen=True)
class Remembered:
    """Subclasses are frozen dataclasses whose fields are tensors."""

    #: What the names of the fields begin with in a rule's memory.
    prefix: ClassVar[str]

    @classmethod
    def zeros(cls) -> Self:
        """Before anything was seen, where all fields are numbers: float64 on the CPU."""
        zero = torch.zeros((), dtype=torch.float64)
        return cls(*(zero for _ in fields(cls)))

    @classmethod
    def of(cls, memory: Mapping[str, Tensor]) -> Self:
        """The inverse of `tensors`."""
        return cls(**{field.name: memory[f"{cls.prefix}.{field.name}"] for field in fields(cls)})

    def tensors(self) -> dict[str, Tensor]:
        """The fields by name, for a rule's memory."""
        return {f"{self.prefix}.{field.name}": getattr(self, field.name) for field in fields(self)}
