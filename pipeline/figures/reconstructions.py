"""Figures 1 and 6: originals, their reconstructions and, in figure 1, generated images below."""

from matplotlib.figure import Figure

from pipeline.figures.image_grid import image_grid
from pipeline.figures.inputs import Inputs, first_images, labelled_paths, paths_of
from pipeline.stages.figures import FigureJob

IMAGES = 8


def overview(job: FigureJob, inputs: Inputs) -> Figure:
    """Figure 1: original, reconstruction, generated."""
    count = job.columns or IMAGES
    names = (("Original", "validation"), ("Reconstruction", "reconstructions"), ("Generated", "samples"))
    return image_grid([(label, first_images(paths_of(inputs, name), count)) for label, name in names], job.title)


def reconstruction_pairs(job: FigureJob, inputs: Inputs) -> Figure:
    """Figure 6: the originals, and below them each autoencoder's reconstructions of the same images."""
    count = job.columns or IMAGES
    rows = [("Original", first_images(paths_of(inputs, "validation"), count))]
    for label, paths in labelled_paths(inputs, "reconstructions").items():
        rows.append((label or "Reconstruction", first_images(paths, count)))
    return image_grid(rows, job.title)
