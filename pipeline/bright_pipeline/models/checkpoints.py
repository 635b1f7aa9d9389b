"""Files of trained models (safetensors with their config: one file is a whole model), and files of codes."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch
from pydantic import Field
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from bright_pipeline.base.errors import InputError, error_text, readable
from bright_pipeline.base.parsing import parse_settings, shortened
from bright_pipeline.engine.atomic import atomic_path
from bright_pipeline.families import autoencoder_family, generator_family, load, parse_autoencoder, parse_generator
from bright_pipeline.settings.autoencoder import AutoencoderSettings
from bright_pipeline.settings.fields import Section
from bright_pipeline.settings.generator import GeneratorSettings

Facts = TypeVar("Facts", bound=Section)
LISTED_NAMES = 4  # in a message; further ones are counted


class AutoencoderFacts(Section):
    """The config in the file of an autoencoder."""

    autoencoder: dict[str, Any]
    resolution: int = Field(ge=1)
    channels: Literal[1, 3]


class GeneratorFacts(Section):
    """The config in the file of a generator."""

    generator: dict[str, Any]
    shape: tuple[int, int, int]


def pick_device() -> torch.device:
    """The first GPU, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def make_autoencoder(settings: AutoencoderSettings, resolution: int, channels: int) -> Any:
    """Make the untrained network of these settings, an `ImageAutoencoder`; ValueError for an unsuitable resolution."""
    settings.check_resolution(resolution)
    return load(autoencoder_family(settings.family).model)(settings, resolution, channels)


def save_autoencoder(
    path: Path, model: nn.Module, settings: AutoencoderSettings, resolution: int, channels: int
) -> None:
    save_model(path, model, "autoencoder", settings, resolution=resolution, channels=channels)


def load_autoencoder(path: Path, device: torch.device | None = None, families: Iterable[str] = ()) -> Any:
    """Load an `ImageAutoencoder`, ready to encode and decode; families: those not built in that may run."""
    facts, weights = load_model(path, "autoencoder", AutoencoderFacts)
    settings = parse_autoencoder(facts.autoencoder, str(path), families)
    return filled(lambda: make_autoencoder(settings, facts.resolution, facts.channels), weights, path, device)


def make_generator(settings: GeneratorSettings, shape: tuple[int, int, int]) -> Any:
    """Make the untrained `Generator` of images or codes of this shape (C, H, W); ValueError for an unsuitable shape."""
    settings.check_shape(shape)
    return load(generator_family(settings.family).model)(settings, shape)


def save_generator(path: Path, model: nn.Module, settings: GeneratorSettings, shape: tuple[int, int, int]) -> None:
    save_model(path, model, "generator", settings, shape=list(shape))


def load_generator(path: Path, device: torch.device | None = None, families: Iterable[str] = ()) -> Any:
    """Load a `Generator`, ready to sample; families: those not built in that may run."""
    facts, weights = load_model(path, "generator", GeneratorFacts)
    settings = parse_generator(facts.generator, str(path), families)
    return filled(lambda: make_generator(settings, facts.shape), weights, path, device)


def save_model(path: Path, model: nn.Module, kind: str, settings: Section, **facts: Any) -> None:
    """Save weights, settings and facts, but no names of datasets or models: renaming an entry changes no byte."""
    names = {key: "" for key in ("dataset", "autoencoder") if getattr(settings, key, None) is not None}
    config = {kind: settings.model_dump(mode="json", exclude={"initial_weights", "decoder_stage"}) | names, **facts}
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    with atomic_path(path) as temporary:
        save_file(weights, temporary, metadata={"config": json.dumps(config, sort_keys=True)})


def load_model(path: Path, kind: str, facts: type[Facts]) -> tuple[Facts, dict[str, Tensor]]:
    """Read the config and the weights of a file; InputError where it is not a model of this kind."""
    damaged = readable(f"{path}: not a trained {kind}", "; train it again, or pull it")
    with damaged, safe_open(path, framework="pt") as file:
        config = json.loads(file.metadata()["config"])
        weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    if not isinstance(config, dict) or kind not in config:
        content = ", ".join(config) if isinstance(config, dict) else shortened(config)
        raise InputError(f"{path}: holds {content}, where a trained {kind} is needed")
    return parse_settings(facts, config, str(path)), weights


def fill(module: nn.Module, tensors: dict[str, Tensor], path: Path) -> None:
    """Load tensors by the module's own names; InputError lists missing, unexpected, misshapen and infinite ones."""
    expected = module.state_dict()
    pairs = [(name, tensors[name], expected[name]) for name in expected.keys() & tensors.keys()]
    problems = {
        "missing": expected.keys() - tensors.keys(),
        "unexpected": tensors.keys() - expected.keys(),
        "of another shape": {
            f"{name}: {_shape(read)} in the file, {_shape(needed)} by the settings"
            for name, read, needed in pairs
            if read.shape != needed.shape
        },
        "of another type": {
            f"{name}: {read.dtype}"
            for name, read, needed in pairs
            if read.is_floating_point() != needed.is_floating_point() or read.is_complex()
        },
    }
    if any(problems.values()):
        listed = (f"{len(names)} {problem}: {_listed(names)}" for problem, names in problems.items() if names)
        raise InputError(f"{path}: does not fit the settings: {'; '.join(listed)}")
    if infinite := {name for name, tensor in tensors.items() if not tensor.isfinite().all()}:
        raise InputError(f"{path}: weights that are NaN or infinite: {_listed(infinite)}")
    module.load_state_dict(tensors)


def _listed(names: set[str]) -> str:
    more = [f"and {len(names) - LISTED_NAMES} more"] if len(names) > LISTED_NAMES else []
    return ", ".join(sorted(names)[:LISTED_NAMES] + more)


def _shape(tensor: Tensor) -> str:
    return "x".join(str(side) for side in tensor.shape) or "a number"


def filled(make: Callable[[], Any], weights: dict[str, Tensor], path: Path, device: torch.device | None) -> Any:
    """Make the model of a file's settings, ready for inference; InputError where they describe no possible network."""
    try:
        model = make()
    except (ValueError, ArithmeticError, RuntimeError, MemoryError) as error:
        raise InputError(f"{path}: no network can be made of its settings: {error_text(error)}") from None
    fill(model, weights, path)
    return model.to(device or pick_device()).eval().requires_grad_(False)


def write_codes(path: Path, codes: Tensor) -> None:
    """Save the codes (count, C_z, H_z, W_z) of a whole split."""
    with atomic_path(path) as temporary:
        save_file({"codes": codes.contiguous()}, temporary, metadata={"shape": json.dumps(list(codes.shape))})


def read_codes(path: Path) -> Tensor:
    """Read the codes that `write_codes` wrote; InputError where it is another file."""
    with readable(f"{path}: not a file of key codes", "; dump them again"), safe_open(path, framework="pt") as file:
        return file.get_tensor("codes")
