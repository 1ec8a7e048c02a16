"""What a TargetDiff model is built from, and which of its authors' options are supported."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .errors import TargetDiffError
from .vocabulary import MODES

#: Options of the authors' configuration file that change what is computed, with the one value that
#: is supported: the value of the published model.
FIXED: Mapping[str, Any] = {
    "model_mean_type": "C0",
    "beta_schedule": "sigmoid",
    "v_beta_schedule": "cosine",
    "time_emb_dim": 0,
    "center_pos_mode": "protein",
    "node_indicator": True,
    "model_type": "uni_o2",
    "num_blocks": 1,
    "edge_feat_dim": 4,
    "num_r_gaussian": 20,
    "act_fn": "relu",
    "norm": True,
    "cutoff_mode": "knn",
    "ew_net_type": "global",
    "num_x2h": 1,
    "num_h2x": 1,
    "x2h_out_fc": False,
    "sync_twoup": False,
}


@dataclass(frozen=True)
class TargetDiffConfig:
    """The free options; everything else is as in :data:`FIXED`. The defaults are the paper's.

    Parameters
    ----------
    hidden_dim, num_layers, n_heads
        H, the width of a node's state; the number of layers; the attention heads of each.
    knn
        Incoming edges of every atom.
    num_diffusion_timesteps, beta_start, beta_end, v_beta_s
        T and the constants of the two noise schedules (:mod:`.schedule`).
    loss_v_weight
        Weight of the types' loss beside the positions'.
    ligand_atom_mode
        Which atom types there are: a key of :data:`.vocabulary.MODES`.
    """

    hidden_dim: int = 128
    num_layers: int = 9
    n_heads: int = 16
    knn: int = 32
    num_diffusion_timesteps: int = 1000
    beta_start: float = 1e-7
    beta_end: float = 2e-3
    v_beta_s: float = 0.01
    loss_v_weight: float = 100.0
    ligand_atom_mode: str = "add_aromatic"

    def __post_init__(self) -> None:
        for name in ("hidden_dim", "num_layers", "n_heads", "knn", "num_diffusion_timesteps"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise TargetDiffError(f"expected {name} as a positive integer, got {value!r}")
        if self.hidden_dim % self.n_heads:
            raise TargetDiffError(
                f"expected hidden_dim to be a multiple of n_heads, got {self.hidden_dim} and "
                f"{self.n_heads}"
            )
        if self.ligand_atom_mode not in MODES:
            raise TargetDiffError(
                f"expected ligand_atom_mode as one of {', '.join(MODES)}, got "
                f"{self.ligand_atom_mode!r}"
            )

    @property
    def types(self) -> int:
        """C, the number of atom types."""
        return len(MODES[self.ligand_atom_mode])

    @classmethod
    def from_official(
        cls, model: Mapping[str, Any], ligand_atom_mode: str = "add_aromatic"
    ) -> TargetDiffConfig:
        """Read the ``model`` section of the authors' configuration.

        Raises
        ------
        TargetDiffError
            If a needed option is missing, or one has a value that is not supported: it is named.
        """
        unsupported = [
            f"{name}: {model[name]!r} (supported: {value!r})"
            for name, value in FIXED.items()
            if name in model and model[name] != value
        ]
        if unsupported:
            raise TargetDiffError(
                "the model was trained with options that are not supported: "
                + "; ".join(unsupported)
            )
        free = [name for name in cls.__dataclass_fields__ if name != "ligand_atom_mode"]
        missing = [name for name in free if name not in model and name != "loss_v_weight"]
        if missing:
            raise TargetDiffError(
                f"the configuration lacks {', '.join(missing)}; expected the model section of "
                "TargetDiff's training configuration"
            )
        values = {name: model[name] for name in free if name in model}
        return cls(**values, ligand_atom_mode=ligand_atom_mode)
