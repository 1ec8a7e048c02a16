"""The optimiser: ask for noise, tell scores. For people with a loop of their own."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from casbo.controls import SEARCH_STREAM, Controls, NoiseNorm, base_noise
from casbo.covariance import COVARIANCES, Covariance, LowRank
from casbo.credit import Direction, costs
from casbo.errors import CasboError
from casbo.rules import Rule, Setting, State, rule_of
from casbo.spaces import PerStep, Space, space_of

FORMAT = "casbo-optimizer-1"


#: Coordinates of one Gaussian up to which a dense covariance costs little; its cost grows with
#: their cube, that of a low rank in proportion.
LARGEST_FULL = 512


class Optimizer:
    """Learn the Gaussians of the noise from scores alone.

    Everything random is drawn in `ask`, per candidate (per mirrored pair) from the seed, the
    iteration and the candidate's index: the outcome depends neither on batch sizes nor on the
    order in which candidates are scored.

    Arguments:
        steps: K, the number of noise steps of a rollout.
        dim: D, the coordinates of one step's noise.
        population: N, candidates per iteration; even for the default rule.
        seed: Not negative.
        direction: "minimize" or "maximize" the scores.
        rule: "default", "paper", "bdtg", "ingo", or a `casbo.rules.Rule`.
        covariance: "full", "low_rank", "diagonal", "isotropic", or the `Covariance` to start
            from. Unit covariances are the model as it was trained. "auto" is "full" where a
            Gaussian has at most `LARGEST_FULL` coordinates, "low_rank" above.
        rank: Largest rank of "low_rank"; None takes the smaller of 32 and the coordinates.
        space: What is learned: "per_step", "shared" or a `casbo.Space`.
        prior_pull: rho >= 0, the weight of the pull back to the start N(0, I), in the space's
            coordinates.
        noise_norm: "free"; "project" rescales every step's noise to the norm of the N(0, I) draw
            it came from. None takes what the rule is meant to run with: the default rule
            projects where a Gaussian has more than 512 coordinates.
        dtype: torch.float64 or torch.float32.
        device: Where noise and controls live; results agree between devices to rounding.
        rule_options: Options of the rule: see its class in `casbo.rules`.

    Raises:
        CasboError: For any option outside its domain.
    """

    def __init__(
        self,
        steps: int,
        dim: int,
        population: int,
        seed: int = 0,
        direction: Direction = "minimize",
        *,
        rule: str | Rule = "default",
        covariance: str | Covariance = "auto",
        rank: int | None = None,
        space: Space | str | None = None,
        prior_pull: float = 0.0,
        noise_norm: NoiseNorm | None = None,
        dtype: torch.dtype = torch.float64,
        device: torch.device | str = "cpu",
        **rule_options: Any,  # noqa: ANN401
    ) -> None:
        _check_counts(steps=steps, dim=dim, population=population)
        _check_choice("direction", direction, ("minimize", "maximize"))
        _check_choice("dtype", dtype, (torch.float64, torch.float32))
        if not isinstance(seed, int) or seed < 0:
            raise CasboError(f"Expected a seed that is an integer >= 0, got {seed!r}.")
        self.steps, self.dim, self.population = steps, dim, population
        self.seed, self.direction, self.dtype = seed, direction, dtype
        self.device = torch.device(device)
        self.space: Space = PerStep() if space is None else space_of(space)
        if prior_pull or not isinstance(rule, Rule):
            rule_options["prior_pull"] = prior_pull
        self.rule = rule_of(rule, rule_options)
        layout = self.space.layout(steps, dim)
        self.noise_norm = self.rule.norm(layout) if noise_norm is None else noise_norm
        _check_choice("noise_norm", self.noise_norm, ("free", "project"))
        self._setting = Setting(layout, population, steps, self.noise_norm)
        self.rule.check(self._setting)
        start = self._start_covariance(covariance, rank)
        mean = torch.zeros(start.shape, dtype=dtype, device=self.device)
        self._state = State(mean, start, self.rule.memory(self._setting, mean))
        self._iteration = 0
        self._base: Tensor | None = None  # of the pending population
        self._pending = False

    @property
    def iteration(self) -> int:
        """Populations told so far."""
        return self._iteration

    @property
    def queries(self) -> int:
        """Candidates told so far, failed ones included."""
        return self._iteration * self.population

    @property
    def controls(self) -> Controls:
        """What has been learned so far."""
        return Controls(
            self._state.mean,
            self._state.covariance,
            self.space,
            (self.steps, self.dim),
            self.noise_norm,
        )

    def ask(self) -> Tensor:
        """The noise of the next population, with shape (N, K, D); the same until it is told."""
        if self._base is None:
            self._base = self._base_noise()
        self._pending = True
        return self.controls.noise_from(self._base, mirrored=len(self._base) < self.population)

    @property
    def wants_samples(self) -> bool:
        """Whether telling the samples beside the scores can help, if they have few coordinates."""
        return self.rule.uses_samples(self._setting)

    def tell(
        self, scores: Tensor | Sequence[float], samples: Tensor | Sequence[Any] | None = None
    ) -> None:
        """Learn from the scores of the population asked for.

        Arguments:
            scores: With shape (N,), of the final samples, or (N, K), one per step: entry k is
                the score after noise row k. A score that is not finite marks its candidate as
                failed: it is ranked last. If all failed, or all scores are the same, nothing is
                learned, but the candidates count.
            samples: What was scored, if it is a point of few coordinates: with shape (N, F), or
                (N, K, F) beside scores per step, NaN at steps without a score. They cost no query
                and let the default rule model the score; see `wants_samples`. Their coordinates
                should have one unit. All populations of a search or none.

        Raises:
            CasboError: When no population is pending, or a shape is another.
        """
        if not self._pending:
            raise CasboError("Expected ask() before tell(): there is no population to score.")
        told = costs(scores, self.population, self.steps, self.direction)
        if samples is not None:
            seen = told.seeing(samples)
            told = seen if self.wants_samples else told
        if told.informative:
            base = self._base_noise() if self._base is None else self._base
            draws = self.space.project(base)
            self._state = self.rule.update(self._state, draws, told, self._setting)
        self._iteration += 1
        self._base, self._pending = None, False

    def state_dict(self) -> dict[str, Tensor | int | str]:
        """Everything needed to go on exactly from here: tensors and JSON values by name."""
        state = self._state
        tensors = {"mean": state.mean}
        tensors |= {f"covariance.{k}": v for k, v in state.covariance.tensors().items()}
        tensors |= {f"memory.{k}": v for k, v in state.memory.items()}
        return {
            **{name: tensor.detach().clone() for name, tensor in tensors.items()},
            "format": FORMAT,
            "configuration": json.dumps(self._configuration(), sort_keys=True),
            "iteration": self._iteration,
            "pending": int(self._pending),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a `state_dict` of an optimiser with the same options.

        Raises:
            CasboError: When the state is of another format or of other options.
        """
        if state.get("format") != FORMAT:
            raise CasboError(
                f"Expected an optimiser state of format {FORMAT}, got {state.get('format')!r}."
            )
        own, theirs = self._configuration(), json.loads(state["configuration"])
        differing = sorted(k for k in own.keys() | theirs.keys() if own.get(k) != theirs.get(k))
        if differing:
            found = ", ".join(f"{k}: {theirs.get(k)!r}, here {own.get(k)!r}" for k in differing)
            raise CasboError(f"Expected a state of the same options, got others ({found}).")
        missing = {"mean", *(f"memory.{k}" for k in self._state.memory)} - set(state)
        missing |= {f"covariance.{k}" for k in self._state.covariance.tensors()} - set(state)
        if missing:
            raise CasboError(f"Expected a whole optimiser state; it lacks {sorted(missing)}.")
        covariance = {
            k: state[f"covariance.{k}"].clone() for k in self._state.covariance.tensors()
        }
        self._state = State(
            state["mean"].to(self._state.mean).clone(),
            self._state.covariance.with_tensors(covariance),
            {k: state[f"memory.{k}"].to(v).clone() for k, v in self._state.memory.items()},
        )
        self._iteration, self._pending = int(state["iteration"]), bool(state["pending"])
        self._base = None

    def _base_noise(self) -> Tensor:
        """z ~ N(0, I) with shape (N, K, D), or (N/2, K, D) where all come in mirrored pairs."""
        mirrored = self.rule.mirrors(self._setting)
        count = self.population // 2 if mirrored else self.population
        words = (SEARCH_STREAM, self.seed, self._iteration)
        shape = (self.steps, self.dim)
        base = torch.empty(count, *shape, dtype=self.dtype, device=self.device)
        for n, row in enumerate(base):
            row.copy_(base_noise(shape, *words, n))
        draws = self.rule.propose(self._state, self._setting)
        if draws is not None:
            base = torch.cat([base, -base]) if mirrored else base
            places = [0, count] if mirrored else list(range(len(draws)))
            unscaled = draws / self.space.scales(draws)
            base[places] = self.space.embed(unscaled, base[places])
        return base

    def _start_covariance(self, covariance: str | Covariance, rank: int | None) -> Covariance:
        layout = self._setting.layout
        shape = (layout.groups, layout.coordinates)
        if isinstance(covariance, Covariance):
            like = covariance.variances()
            if covariance.shape != shape or like.dtype != self.dtype:
                raise CasboError(
                    f"Expected a start covariance of {shape[0]} Gaussians in {shape[1]} "
                    f"coordinates and {self.dtype}, got {covariance.shape} and {like.dtype}."
                )
            return covariance
        _check_choice("covariance", covariance, ("auto", *COVARIANCES))
        if covariance == "auto":
            full = layout.coordinates <= LARGEST_FULL and rank is None
            covariance = "full" if full else "low_rank"
        kind = COVARIANCES[covariance]
        if rank is not None and kind is not LowRank:
            raise CasboError(f"Expected rank only with covariance='low_rank', got {covariance!r}.")
        options = {} if rank is None else {"rank": rank}
        return kind.identity(*shape, dtype=self.dtype, device=self.device, **options)

    def _configuration(self) -> dict[str, Any]:
        return {
            "shape": [self.steps, self.dim],
            "population": self.population,
            "seed": self.seed,
            "direction": self.direction,
            "rule": self.rule.describe(),
            "covariance": self._state.covariance.describe(),
            "space": self.space.describe(),
            "noise_norm": self.noise_norm,
            "dtype": str(self.dtype),
        }


def _check_counts(**counts: int) -> None:
    for name, count in counts.items():
        if not isinstance(count, int) or count < 1:
            raise CasboError(f"Expected {name} to be an integer of at least 1, got {count!r}.")


def _check_choice(name: str, value: object, choices: tuple[object, ...]) -> None:
    if value not in choices:
        raise CasboError(f"Expected {name} among {list(choices)}, got {value!r}.")
