"""BRIGHT (bi-level feature representation of image collections using groups of hash tables), reproduced.

For a Python session or a notebook: `from pipeline import load_autoencoder` (see `pipeline.generation.interactive`).
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline.generation.interactive import ImageGenerator, ImageModel, load_autoencoder, load_generator

__all__ = ["ImageGenerator", "ImageModel", "load_autoencoder", "load_generator"]

# `python -m pipeline.doctor` is `bright doctor`: the stages' commands are modules of this package, the
# other commands of a subpackage.
__path__.append(str(Path(__file__).with_name("commands")))

# numpy's and scipy's linear algebra on one thread: on many it is slower here, and sums depend on how many.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def __getattr__(name: str) -> Any:
    """What people import from here is loaded when they ask for it: most of the package needs no torch."""
    if name in __all__:
        from pipeline.generation import interactive

        return getattr(interactive, name)
    raise AttributeError(f"module 'pipeline' has no attribute {name!r}")
