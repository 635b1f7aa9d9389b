"""Retrieval with tiny-cuda-nn's HashGrid encoding: CUDA only, `tcnn` convention, float32.

The package stores its parameters flat in the order level, entry, feature, like one row of our tables. So our parameter
replaces that of its encoding, and all strategies have one state dict. docs/tiny-cuda-nn.md has the installation.
Never measured on a GPU: docs/gpus.md lists all such code.
"""

import importlib
from types import ModuleType

import torch
from torch import Tensor, nn
from torch.func import functional_call

from pipeline.models.levels import Level
from pipeline.settings.autoencoder import HashTables

FEATURES = (1, 2, 4, 8)  # per level, that the package has kernels for
KEY_LENGTHS = (1, 2)  # its grids have 2 to 4 dimensions, ours C_key + 2


def load_package() -> ModuleType | str:
    """The package, or why it cannot be used: importing it without CUDA raises."""
    try:
        return importlib.import_module("tinycudann")
    except ModuleNotFoundError:
        return "the package tinycudann is not installed (docs/tiny-cuda-nn.md)"
    except Exception as error:  # the package raises OSError or EnvironmentError without CUDA
        return f"the package tinycudann does not load ({error})"


def unavailable(settings: HashTables) -> str | None:
    """Why tiny-cuda-nn cannot read these tables here; None if it can."""
    if settings.convention != "tcnn":
        return f"its tables follow the convention tcnn, not {settings.convention}"
    if settings.key_length not in KEY_LENGTHS:
        return f"it has no grids for key_length {settings.key_length}"
    if not settings.coordinates:
        return "its queries have (x, y)"
    if settings.features_per_entry not in FEATURES:
        return f"it has no kernels for features_per_entry {settings.features_per_entry}"
    if not torch.cuda.is_available():
        return "there is no CUDA device"
    package = load_package()
    return package if isinstance(package, str) else None


class TinyCudaNNRetrieval:
    """The interpolated features of every unit key from the package's encoding, where it is not `unavailable`."""

    name = "tinycudann"

    def __init__(self, levels: tuple[Level, ...], settings: HashTables, feature_size: int):
        self.feature_size = feature_size
        coarsest, finest = levels[0].scale + 1, levels[-1].scale + 1
        self.encoding: nn.Module = importlib.import_module("tinycudann").Encoding(
            n_input_dims=settings.key_length + 2,
            encoding_config={
                "otype": "HashGrid",
                "n_levels": len(levels),
                "n_features_per_level": settings.features_per_entry,
                "log2_hashmap_size": settings.entries_log2,
                "base_resolution": round(coarsest),
                "per_level_scale": (finest / coarsest) ** (1 / max(len(levels) - 1, 1)),
                "interpolation": "Linear",
            },
            dtype=torch.float32,
        )
        expected = sum(level.entries for level in levels) * settings.features_per_entry
        found = sum(parameter.numel() for parameter in self.encoding.parameters())
        if found != expected:
            raise RuntimeError(f"tinycudann has {found} numbers in a group's tables, expected {expected}")

    def __call__(self, tables: Tensor, code: Tensor) -> Tensor:
        """See `retrieval.Retrieval`."""
        batch, groups, _, height, width = code.shape
        axis = (torch.arange(self.feature_size, dtype=code.dtype, device=code.device) + 0.5) / self.feature_size
        x, y = torch.meshgrid(axis, axis, indexing="ij")
        pixels = torch.stack([x, y]).expand(batch, 2, height, width)
        features = []
        for group in range(groups):
            queries = torch.cat([code[:, group], pixels], dim=1).movedim(1, -1).flatten(0, 2)
            rows = functional_call(self.encoding, {"params": tables[group].reshape(-1)}, (queries,))
            features.append(rows.float().view(batch, height, width, -1).movedim(-1, 1))
        return torch.stack(features, dim=1)
