r"""Samples that were scored at every step, as a recurrence of the step's noise and those before.

A rollout is a chain, and what a step's noise does to the next sample takes far fewer candidates to
learn than what it does to all later ones: K (L F + m) F numbers instead of K^2 m F / 2. In most
samplers both the sample before and the noise enter nearly as multiples of themselves; those
multiples are found first, from the first population on. See docs/method.md, equations (46), (47).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from casbo.rules.response import Response, nearness

#: L, how many samples before the present one a recurrence may look back to: a position and its
#: velocity take two.
LAGS = (1, 2)
#: Of the regression that is left when the multiples are taken off, times the larger of its rows and
#: columns and the mean square of its inputs.
RIDGES = (1e-6, 1e-2, 1.0)
#: Of the newest candidates, on which models fitted to the others are compared, at most so many.
HELD_OUT = 20
#: A spread so much smaller than the values is rounding.
ROUNDING = 1e-12


@dataclass(frozen=True)
class Recurrence:
    """x_k = constant_k + sum over l of x_{k-l} transition_{l,k} + w_k gain_k, w = u - mu.

    Arguments:
        constant: With shape (K, F).
        transitions: For each lag l = 1 .. L, with shape (K, F, F).
        gain: With shape (K, m, F).
    """

    constant: Tensor
    transitions: tuple[Tensor, ...]
    gain: Tensor

    @classmethod
    def through(
        cls,
        noise: Tensor,
        samples: Tensor,
        weights: Tensor,
        lags: int,
        ridges: Sequence[float] = RIDGES,
    ) -> Iterator[Recurrence]:
        """One for each ridge.

        Arguments:
            noise: u - mu with shape (n, K, m).
            samples: With shape (n, K, F).
            weights: With shape (n,).
            lags: L.
            ridges: In the units of `RIDGES`.
        """
        inputs = [*(_before(samples, lag) for lag in range(1, lags + 1)), noise]
        blocks = [_Block.of(values.transpose(0, 1), weights) for values in inputs]
        target = _Block.of(samples.transpose(0, 1), weights)
        spread = torch.where(target.scale.isinf(), 0.0, target.scale)
        multiples, left = _multiples(blocks, target.scaled, weights)
        joined = torch.cat([block.scaled for block in blocks], -1)
        for solution in _regressions(joined, left, weights, ridges):
            maps, start = [], 0
            for block, multiple in zip(blocks, multiples, strict=True):
                stop = start + block.scaled.shape[-1]
                own = solution[:, start:stop]
                own.diagonal(dim1=1, dim2=2).add_(multiple[:, None])
                maps.append(own * (spread / block.scale))
                start = stop
            constant = target.centre
            for block, map_ in zip(blocks, maps, strict=True):
                constant = constant - block.centre @ map_
            yield cls(constant[:, 0], tuple(maps[:-1]), maps[-1])

    def of(self, noise: Tensor) -> Tensor:
        """The samples (n, K, F) of u - mu (n, K, m)."""
        samples: list[Tensor] = []
        for k in range(len(self.constant)):
            sample = self.constant[k] + noise[:, k] @ self.gain[k]
            for transition, before in zip(self.transitions, reversed(samples), strict=False):
                sample = sample + before @ transition[k]
            samples.append(sample)
        return torch.stack(samples, 1)

    def response(self, root: Tensor) -> Response:
        """As a response to whitened noise v.

        Arguments:
            root: With shape (K, m, m); u_k - mu_k = v_k root_k.
        """
        K, m, F = self.gain.shape
        centre = self.of(root.new_zeros(1, K, m))[0]
        slope = root.new_zeros(K, m, K, F)
        for k in range(K):
            slope[k, :, k] = root[k] @ self.gain[k]
            for lag, transition in enumerate(self.transitions[:k], 1):
                slope[:, :, k] += slope[:, :, k - lag] @ transition[k]
        return Response(centre, slope.flatten(0, 1))


@dataclass(frozen=True)
class _Block:
    """Values (K, n, width) around their weighted mean, in units of their spread in each step.

    Where they are constant, the unit is infinite.
    """

    scaled: Tensor
    centre: Tensor
    scale: Tensor

    @classmethod
    def of(cls, values: Tensor, weights: Tensor) -> _Block:
        shares = (weights / weights.sum())[:, None]
        centre = (shares * values).sum(1, keepdim=True)
        away = values - centre
        scale = (shares * away.square()).sum(1, keepdim=True).mean(2, keepdim=True).sqrt()
        constant = scale <= ROUNDING * centre.abs().amax(2, keepdim=True)
        scale = torch.where(constant, torch.inf, scale)
        return cls(away / scale, centre, scale)


def _before(samples: Tensor, lag: int) -> Tensor:
    """The samples `lag` steps earlier, 0 before the first."""
    before = torch.zeros_like(samples)
    before[:, lag:] = samples[:, : max(samples.shape[1] - lag, 0)]
    return before


def _multiples(
    blocks: list[_Block], target: Tensor, weights: Tensor
) -> tuple[list[Tensor], Tensor]:
    """By which multiple (K,) of itself each block enters, and what of the target is left.

    A block of another width than the target has none.
    """
    inputs = torch.stack([b.scaled for b in blocks if b.scaled.shape == target.shape])
    weighted = inputs * weights[:, None]
    gram = torch.einsum("aknf,bknf->kab", weighted, inputs)
    size = gram.diagonal(dim1=1, dim2=2).sum(1)[:, None]
    gram.diagonal(dim1=1, dim2=2).add_(ROUNDING * torch.where(size > 0, size, 1.0))
    wanted = torch.einsum("aknf,knf->ka", weighted, target)
    found = torch.linalg.solve_ex(gram, wanted[..., None])[0][..., 0]
    left = target - torch.einsum("ka,aknf->knf", found, inputs)
    none, columns = torch.zeros_like(found[:, 0]), iter(found.unbind(1))
    return [next(columns) if b.scaled.shape == target.shape else none for b in blocks], left


def _regressions(
    inputs: Tensor, target: Tensor, weights: Tensor, ridges: Sequence[float]
) -> Iterator[Tensor]:
    """Maps (K, P, F) from inputs (K, n, P) to the target (K, n, F), for each ridge."""
    root = weights.sqrt()[:, None]
    inputs, target = inputs * root, target * root
    few = inputs.shape[1] <= inputs.shape[2]
    gram = inputs @ inputs.mT if few else inputs.mT @ inputs
    wanted = target if few else inputs.mT @ target
    level = gram.diagonal(dim1=1, dim2=2).mean(1, keepdim=True)
    level = torch.where(level > 0, level, 1.0)
    for ridge in ridges:
        ridged = gram.clone()
        ridged.diagonal(dim1=1, dim2=2).add_(ridge * level)
        found = torch.cholesky_solve(wanted, torch.linalg.cholesky_ex(ridged)[0])
        yield inputs.mT @ found if few else found


def response_of(noise: Tensor, away: Tensor, samples: Tensor, root: Tensor) -> Response:
    """The response that foretells the newest candidates best: direct, or through a recurrence.

    Arguments:
        noise: Whitened around the present mean, with shape (n, K, m), newest first, mirror images
            next to each other.
        away: The same as u - mu.
        samples: After each step, with shape (n, K, F).
        root: With shape (K, m, m); u_k - mu_k = v_k root_k.
    """
    flat = noise.flatten(1)
    weights = nearness(flat).square()
    held = min(HELD_OUT, len(noise) // 2) // 2 * 2
    new, old = slice(held), slice(held, None)

    def error(foretold: Tensor) -> float:
        missed = (foretold - samples[new]).square().sum((1, 2))
        return float((weights[new] * missed).sum())

    least, best = error(Response.through(flat[old], samples[old]).of(flat[new])), None
    for lags in LAGS:
        rows = slice(held, held + _rows(away, samples, lags))
        tried = Recurrence.through(away[rows], samples[rows], weights[rows], lags)
        for ridge, recurrence in zip(RIDGES, tried, strict=True):
            missed = error(recurrence.of(away[new]))
            if missed < least:
                least, best = missed, (lags, ridge)
    if best is None:
        return Response.through(flat, samples)
    lags, ridge = best
    rows = slice(_rows(away, samples, lags))
    fitted = Recurrence.through(away[rows], samples[rows], weights[rows], lags, (ridge,))
    return next(fitted).response(root)


def _rows(away: Tensor, samples: Tensor, lags: int) -> int:
    """Candidates that a recurrence is fitted to."""
    return 2 * (lags * samples.shape[2] + away.shape[2]) + 20
