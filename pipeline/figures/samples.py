"""Figures 8 and 10: uncurated samples, the first of the set."""

from matplotlib.figure import Figure

from pipeline.figures.image_grid import image_grid
from pipeline.figures.inputs import Inputs, first_images, paths_of
from pipeline.figures.job import FigureJob

COLUMNS = 8
ROWS = {"fig08": 2, "fig10": 8}


def samples(job: FigureJob, inputs: Inputs) -> Figure:
    """The first rows x columns samples, in their order: nothing is chosen."""
    columns = job.columns or COLUMNS
    rows = job.rows or ROWS[job.figure]
    images = first_images(paths_of(inputs, "samples"), rows * columns)
    return image_grid([("", images[start : start + columns]) for start in range(0, len(images), columns)], job.title)
