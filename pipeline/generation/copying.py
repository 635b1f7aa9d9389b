"""Sample sets of images of other programs, which are copied instead of drawn. Nothing is resized."""

from pathlib import Path

import numpy as np

from pipeline.base.errors import InputError
from pipeline.base.progress import Progress
from pipeline.data.archive import ArchiveWriter, image_name
from pipeline.data.decode import BadImage
from pipeline.data.listing import printable
from pipeline.data.sources import open_source, source_at
from pipeline.settings.diffusion import FilesSamples


def copy_files(samples: FilesSamples, resolution: int | None, channels: int, path: Path, first: int, last: int) -> None:
    """Write the images [first, last) of a folder or zip, by name; InputError names a damaged or misfit one."""
    (files,) = open_source(source_at(samples.path), "samples").values()
    names = files.names()
    if len(names) < last:
        raise InputError(f"{samples.path}: {len(names)} images, where the sample set needs {last}; lower its count")
    with ArchiveWriter(path, channels) as archive, Progress("copy", last - first, "images") as progress:
        for index in range(first, last):
            where = f"{samples.path}: {printable(names[index])}"
            try:
                image = files.image(names[index], channels)
            except BadImage as error:
                raise InputError(f"{where}: {printable(str(error))}; samples are never skipped") from None
            if resolution is not None and image.size != (resolution, resolution):
                raise InputError(
                    f"{where}: {image.width}x{image.height}, the dataset {samples.dataset} is"
                    f" {resolution}x{resolution}; samples are not resized"
                )
            archive.add(image_name(index), np.asarray(image))
            progress.advance()
