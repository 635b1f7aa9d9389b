"""Traits: the settings of an autoencoder that distinguish rows of the tables. No torch: the plan uses them."""

import json
from collections.abc import Iterator
from typing import Any

from bright_pipeline.families import autoencoder_family, load
from bright_pipeline.models.key_noise import NONE
from bright_pipeline.settings.autoencoder import Autoencoder, AutoencoderSettings, HashTables

NOT_OF_THE_MODEL = ("dataset", "weights", "execution", "seed")
OF_THE_TRAINING = ("losses", "decoder_stage")
ARCHITECTURE = ("code_size", "key_length", "feature_size", "ablation")


def traits(settings: AutoencoderSettings) -> dict[str, Any]:
    """The traits of every family, then those of this family, which may replace some."""
    family_traits = autoencoder_family(settings.family).traits
    common = {
        "code_size": "x".join(map(str, settings.code_size)),
        "adversarial": settings.losses.adversarial.kind,
        "train_images": settings.training.images,
    }
    all_traits = common | (load(family_traits)(settings) if family_traits else {})
    if settings.decoder_stage is not None:
        all_traits["ablation"] = ", ".join(filter(None, [all_traits.get("ablation"), "decoder stage"]))
    return all_traits


def architecture_traits(settings: AutoencoderSettings) -> dict[str, Any]:
    """The traits of the architecture: models that differ in their training alone are counted and timed as one."""
    untrained = settings.model_copy(update={key: type(settings).model_fields[key].default for key in OF_THE_TRAINING})
    return {key: value for key, value in traits(untrained).items() if key in ARCHITECTURE}


def hash_tables(settings: Any) -> HashTables | None:
    """The settings of a model's hash tables; None without tables."""
    return settings.tables if isinstance(settings, Autoencoder) and settings.features == "hash_tables" else None


def bright(settings: Any) -> dict[str, Any]:
    """BRIGHT's traits: what Tables 4, 7 and 8 vary, and what an ablation removes."""
    tables, noise = settings.tables, settings.code_noise
    if settings.code_noise_cells != Autoencoder.model_fields["code_noise_cells"].default and noise != NONE.name:
        noise = f"{noise}, {settings.code_noise_cells:g} cells"
    without = {
        "no tables": settings.features == "mlp",
        "queries without (x, y)": not tables.coordinates,
        "no modulation": settings.decoder.style_width == 0,
        "style from groups": settings.style == "groups",
        f"key penalty {settings.losses.key_penalty:g}": settings.losses.key_penalty > 0,
        f"smoothness penalty {settings.losses.smoothness_penalty:g}": settings.losses.smoothness_penalty > 0,
    }
    ablation = ", ".join(words for words, is_so in without.items() if is_so)
    varied = {"key_length": tables.key_length, "feature_size": settings.feature_size, "code_noise": noise}
    return varied | ({"ablation": ablation} if ablation else {})


def index_traits(settings: Any) -> dict[str, Any]:
    """The code is H_z x W_z, with one index at each position (VQGAN), or H_z x W_z x depth (RQ-VAE)."""
    height, width, _ = settings.code_size
    depth = getattr(getattr(settings, "codebook", None), "depth", None)
    return {"code_size": f"{height}x{width}" if depth is None else f"{height}x{width}x{depth}"}


def changes(settings: AutoencoderSettings, base: AutoencoderSettings) -> str:
    """The keys of a model's config that differ from those of another, with their values."""
    changed, other = (dict(_flat(entry.model_dump(mode="json"))) for entry in (settings, base))
    return ", ".join(f"{key} {value}" for key, value in changed.items() if other.get(key) != value)


def _flat(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Dotted keys and their values as in YAML, without keys that do not change the model."""
    for key, value in values.items():
        if isinstance(value, dict) and key not in NOT_OF_THE_MODEL:
            yield from _flat(value, f"{prefix}{key}.")
        elif key not in NOT_OF_THE_MODEL:
            yield f"{prefix}{key}", json.dumps(value).strip('"')
