"""Controls: the Gaussians that replace N(0, I), what is learned, saved, shared and sampled from."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from casbo.covariance import COVARIANCES, Covariance, LowRank, kl_to_standard
from casbo.errors import CasboError
from casbo.spaces import Space, from_parts

NoiseNorm = Literal["free", "project"]
FORMAT = "casbo-controls-1"
#: First words of every random stream: no two uses of one seed share their draws.
SEARCH_STREAM, SAMPLE_STREAM = 0, 1


@dataclass(frozen=True)
class Controls:
    """G Gaussians N(mu, Sigma) in a control space, for rollouts of shape (K, D).

    Arguments:
        mean: mu with shape (G, m), in the space's coordinates.
        covariance: Sigma.
        space: The map from coordinates to noise.
        shape: (K, D).
        noise_norm: "free", or "project": every step's noise is rescaled to the norm of the
            N(0, I) draw it came from.
    """

    mean: Tensor
    covariance: Covariance
    space: Space
    shape: tuple[int, int]
    noise_norm: NoiseNorm = "free"

    def noise_from(self, base: Tensor, *, mirrored: bool = False) -> Tensor:
        """The noise with shape (N, K, D) that base noise z ~ N(0, I) of that shape turns into.

        With `mirrored`, the noise of z and after it that of -z, with shape (2N, K, D).
        """
        coloured = self._coloured(base)
        if not mirrored:
            return self._placed(coloured.add_(self.mean), base)  # Eq. (1)
        noise = base.new_empty(2 * len(base), *base.shape[1:])
        noise[: len(base)] = self._placed(self.mean + coloured, base)
        noise[len(base) :] = self._placed(coloured.neg_().add_(self.mean), -base)
        return noise

    def _coloured(self, base: Tensor) -> Tensor:
        """Sigma^{1/2} P^T z with shape (N, R, m), a new tensor."""
        whitened = self.space.project(base)
        if not self.space.layout(*self.shape).tied:
            return self.covariance.color(whitened)
        flat = whitened.flatten(0, 1).unsqueeze(1)
        return self.covariance.color(flat).reshape(whitened.shape)

    def _placed(self, learned: Tensor, base: Tensor) -> Tensor:
        """Noise with shape (N, K, D) from u with shape (N, R, m)."""
        noise = self.space.embed(learned, base)  # Eq. (3)
        if self.noise_norm == "project":
            longer = noise.norm(dim=-1, keepdim=True)
            tiny = torch.finfo(noise.dtype).tiny
            noise.mul_(base.norm(dim=-1, keepdim=True) / longer.clamp_min(tiny))  # Eq. (4)
        return noise

    def noise(self, count: int, seed: int) -> Tensor:
        """Steered noise with shape (count, K, D); row n depends on the seed and n only.

        Raises:
            CasboError: When the count is not positive or the seed is negative.
        """
        if count < 1:
            raise CasboError(f"Expected to sample at least 1 noise, got {count}.")
        rows = [base_noise(self.shape, SAMPLE_STREAM, seed, n) for n in range(count)]
        return self.noise_from(torch.stack(rows).to(self.mean))

    def mean_noise(self) -> Tensor:
        """The mean of the noise before any rescaling, with shape (K, D)."""
        return self.space.mean_noise(self.mean, self.shape)

    def kl_to_prior(self) -> Tensor:
        """KL(controls || N(0, I)) of each Gaussian in noise units, in nats, with shape (G,).

        A tied space draws its one Gaussian K times: the divergence of the whole noise is K times
        this. Rescaling by `noise_norm` is left out of account.
        """
        return kl_to_standard(self.mean, self.covariance, self.space.scales(self.mean))

    def noise_norm_by_step(self, count: int = 256) -> Tensor:
        """Root mean square of each step's noise, with shape (K,); 1 under N(0, I).

        Estimated on `count` noises of a fixed seed.
        """
        total = torch.zeros(self.shape[0], dtype=self.mean.dtype, device=self.mean.device)
        for n in range(count):
            row = base_noise(self.shape, SAMPLE_STREAM, 0, n)[None].to(self.mean)
            total += self.noise_from(row)[0].square().mean(-1)
        return (total / count).sqrt()

    def spectrum(self) -> Tensor:
        """Eigenvalues of Sigma (variances, in the space's coordinates), ascending: (G, r)."""
        return self.covariance.spectrum()

    def describe(self) -> dict[str, Any]:
        """Shape, space, covariance type and noise norm as JSON values."""
        return {
            "shape": list(self.shape),
            "space": self.space.describe(),
            "covariance": self.covariance.describe(),
            "noise_norm": self.noise_norm,
        }

    def save(self, path: str | Path) -> Path:
        """Write a safetensors file; readers see the old file or the whole new one.

        Raises:
            RunFolderError: When it cannot be written.
        """
        from safetensors.torch import save as to_bytes

        from casbo.atomic import write_atomically

        tensors = {"mean": self.mean}
        tensors |= {f"covariance.{k}": v for k, v in self.covariance.tensors().items()}
        tensors |= {f"space.{k}": v for k, v in self.space.tensors().items()}
        plain = {k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}
        about = {
            "format": FORMAT,
            "shape": list(self.shape),
            "space": self.space.settings(),
            "covariance": self.covariance.settings(),
            "noise_norm": self.noise_norm,
        }
        path = Path(path)
        write_atomically(path, to_bytes(plain, {"casbo": json.dumps(about)}))
        return path

    @classmethod
    def load(cls, path: str | Path, device: torch.device | str = "cpu") -> Controls:
        """Read what `save` wrote.

        Raises:
            CasboError: When the file is missing, damaged or holds something else.
        """
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(str(path), framework="pt", device=str(device)) as file:
                about = json.loads((file.metadata() or {}).get("casbo", "{}"))
                tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
        except (SafetensorError, OSError, ValueError) as error:
            raise CasboError(
                f"Expected controls in {path}, but reading failed: {error}."
            ) from error
        if about.get("format") != FORMAT:
            raise CasboError(
                f"Expected {path} to hold controls saved by casbo ({FORMAT}), "
                f"got format {about.get('format')!r}."
            )
        return cls._from_parts(about, tensors)

    @classmethod
    def _from_parts(cls, about: dict[str, Any], tensors: dict[str, Tensor]) -> Controls:
        def part(prefix: str) -> dict[str, Tensor]:
            start = len(prefix) + 1
            return {k[start:]: v for k, v in tensors.items() if k.startswith(f"{prefix}.")}

        mean = tensors["mean"]
        kind = next(t for t in COVARIANCES.values() if t.__name__ == about["covariance"]["kind"])
        options = {"rank": about["covariance"]["rank"]} if kind is LowRank else {}
        start = kind.identity(*mean.shape, dtype=mean.dtype, device=mean.device, **options)
        return cls(
            mean,
            start.with_tensors(part("covariance")),
            from_parts(about["space"], part("space")),
            (about["shape"][0], about["shape"][1]),
            about["noise_norm"],
        )


def base_noise(shape: tuple[int, int], *words: int) -> Tensor:
    """z ~ N(0, I) with shape (K, D), float64 on the CPU: a function of the words and nothing else.

    Arguments:
        shape: (K, D).
        words: Stream, seed and indices: non-negative integers.

    Raises:
        CasboError: When one of the words is negative.
    """
    if min(words) < 0:
        raise CasboError(f"Expected a seed that is not negative, got {min(words)}.")
    generator = np.random.Generator(np.random.Philox(np.random.SeedSequence(words)))
    return torch.from_numpy(generator.standard_normal(math.prod(shape))).reshape(shape)
