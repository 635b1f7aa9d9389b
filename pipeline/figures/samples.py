"""Figures 7, 8, 10, 12 and 14: uncurated samples, the first of each set."""

from matplotlib.figure import Figure

from pipeline.figures.image_grid import image_grid, in_rows
from pipeline.figures.inputs import Inputs, first_images, labelled_paths, paths_of
from pipeline.stages.figures import FigureJob

COLUMNS = 8
ROWS = 8
COMPARED_ROWS = 2


def samples(job: FigureJob, inputs: Inputs) -> Figure:
    """The first rows x columns samples, in their order: nothing is chosen."""
    columns = job.columns or COLUMNS
    images = first_images(paths_of(inputs, "samples"), (job.rows or ROWS) * columns)
    return image_grid(in_rows(images, columns), job.title)


def comparison(job: FigureJob, inputs: Inputs) -> Figure:
    """Figures 7 and 8: the first samples of each set, one set below the other."""
    columns = job.columns or COLUMNS
    count = (job.rows or COMPARED_ROWS) * columns
    sets = labelled_paths(inputs, "samples").items()
    rows = [row for label, paths in sets for row in in_rows(first_images(paths, count), columns, label)]
    return image_grid(rows, job.title)
