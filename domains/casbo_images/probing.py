"""Probing: running a pipeline to see what it takes as noise, at the price of one network evaluation.

How a step takes noise is up to the pipeline and its scheduler and not to what the network says, so
while probing the network is asked once and its answer stands for all steps.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from torch import Tensor
from torch.nn import Module

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

#: How diffusers' pipelines call the network that they ask in every step.
NETWORKS = ("unet", "transformer")


def asked_once(pipe: DiffusionPipeline) -> DiffusionPipeline:
    """The same pipeline, its scheduler and weights shared, with a network that repeats itself.

    Nothing of the pipeline given is touched: others may be using its network at the same time.
    """
    probe = copy.copy(pipe)
    for name in NETWORKS:
        network = getattr(pipe, name, None)
        if isinstance(network, Module):
            repeating = copy.copy(network)
            # in its own attributes: a compiled module would pass the assignment on to the original
            vars(repeating)["forward"] = first_answers(network.forward)
            setattr(probe, name, repeating)
    return probe


def first_answers(forward: Callable[..., Any]) -> Callable[..., Any]:
    """A network's forward pass that is made once for inputs of the same shapes."""
    answers: dict[tuple[Any, ...], Any] = {}

    def repeating(*arguments: Any, **options: Any) -> Any:  # noqa: ANN401 - as the network has it
        given = (*arguments, *options.values())
        shapes = tuple(value.shape for value in given if isinstance(value, Tensor))
        if shapes not in answers:
            answers[shapes] = forward(*arguments, **options)
        return answers[shapes]

    return repeating
