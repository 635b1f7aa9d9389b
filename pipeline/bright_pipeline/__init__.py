"""BRIGHT as a Python library: trained models, the networks, sampling and evaluation (docs/python.md).

Importing this package changes nothing in the process: no variable, no setting of PyTorch. A name is loaded when it is
first used, with its libraries: a decoder loads neither diffusers nor scipy nor torchvision.

from bright_pipeline import Autoencoder, Bright, load_autoencoder

model = load_autoencoder("bright-fashion")                           # a folder of `bright export`, or a weights file
images = model.decode(model.encode(["shirt.png"]))                   # PIL images
network = Bright(Autoencoder(code_size="64x64x4"), resolution=256, channels=3)    # untrained, a torch.nn.Module

`InputError` is raised for bad input: one line that says what is wrong, where, and what would be right.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bright_pipeline.base.errors import InputError as InputError
    from bright_pipeline.commands.evaluate import evaluate as evaluate
    from bright_pipeline.generation.interactive import ImageGenerator as ImageGenerator
    from bright_pipeline.generation.interactive import ImageModel as ImageModel
    from bright_pipeline.generation.interactive import load_autoencoder as load_autoencoder
    from bright_pipeline.generation.interactive import load_generator as load_generator
    from bright_pipeline.generation.interactive import side_by_side as side_by_side
    from bright_pipeline.generation.interactive import validation_images as validation_images
    from bright_pipeline.generation.sampling import sample as sample
    from bright_pipeline.models.bright import Bright as Bright
    from bright_pipeline.models.hash_tables import HashTableGroups as HashTableGroups
    from bright_pipeline.settings.autoencoder import Autoencoder as Autoencoder
    from bright_pipeline.settings.autoencoder import Decoder as Decoder
    from bright_pipeline.settings.autoencoder import Encoder as Encoder
    from bright_pipeline.settings.autoencoder import HashTables as HashTables
    from bright_pipeline.settings.diffusion import Sampler as Sampler

MODULES = {
    "bright_pipeline.base.errors": ("InputError",),
    "bright_pipeline.commands.evaluate": ("evaluate",),
    "bright_pipeline.generation.interactive": (
        *("ImageGenerator", "ImageModel", "load_autoencoder", "load_generator", "side_by_side", "validation_images"),
    ),
    "bright_pipeline.generation.sampling": ("sample",),
    "bright_pipeline.models.bright": ("Bright",),
    "bright_pipeline.models.hash_tables": ("HashTableGroups",),
    "bright_pipeline.settings.autoencoder": ("Autoencoder", "Decoder", "Encoder", "HashTables"),
    "bright_pipeline.settings.diffusion": ("Sampler",),
}
__all__ = sorted(name for names in MODULES.values() for name in names)


def __getattr__(name: str) -> Any:
    module = next((module for module, names in MODULES.items() if name in names), None)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(import_module(module), name)
