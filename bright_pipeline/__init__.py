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
    from pipeline.base.errors import InputError as InputError
    from pipeline.commands.evaluate import evaluate as evaluate
    from pipeline.generation.interactive import ImageGenerator as ImageGenerator
    from pipeline.generation.interactive import ImageModel as ImageModel
    from pipeline.generation.interactive import load_autoencoder as load_autoencoder
    from pipeline.generation.interactive import load_generator as load_generator
    from pipeline.generation.sampling import sample as sample
    from pipeline.models.bright import Bright as Bright
    from pipeline.models.hash_tables import HashTableGroups as HashTableGroups
    from pipeline.settings.autoencoder import Autoencoder as Autoencoder
    from pipeline.settings.autoencoder import Decoder as Decoder
    from pipeline.settings.autoencoder import Encoder as Encoder
    from pipeline.settings.autoencoder import HashTables as HashTables
    from pipeline.settings.diffusion import Sampler as Sampler

MODULES = {
    "pipeline.base.errors": ("InputError",),
    "pipeline.commands.evaluate": ("evaluate",),
    "pipeline.generation.interactive": ("ImageGenerator", "ImageModel", "load_autoencoder", "load_generator"),
    "pipeline.generation.sampling": ("sample",),
    "pipeline.models.bright": ("Bright",),
    "pipeline.models.hash_tables": ("HashTableGroups",),
    "pipeline.settings.autoencoder": ("Autoencoder", "Decoder", "Encoder", "HashTables"),
    "pipeline.settings.diffusion": ("Sampler",),
}
__all__ = sorted(name for names in MODULES.values() for name in names)


def __getattr__(name: str) -> Any:
    module = next((module for module, names in MODULES.items() if name in names), None)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(import_module(module), name)
