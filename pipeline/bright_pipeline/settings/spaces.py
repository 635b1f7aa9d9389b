"""Feature spaces (appendix B): a metric network (a weights file) with its preprocessing, its layer and its metrics.

One file can serve several spaces: InceptionV3 and VGG16 with the preprocessing of two libraries each. `SPACES` has all.
"""

from typing import Literal, NamedTuple

from bright_pipeline.base.errors import InputError

PrecisionRecall = Literal["torch_fidelity", "paper_repository"]

DISTANCE = "frechet_distance"
# The fewest images of a set from which each metric (`METRICS` of `bright_pipeline/evaluation/metrics.py`) is computed.
FEWEST_IMAGES = {DISTANCE: 3, "kernel_distance": 4, "gaussian_kernel_distance": 4, "precision_recall": 6, "score": 10}
OF_RECONSTRUCTIONS = "rfid."  # begins the names of the distances of reconstructions in a summary


class Space(NamedTuple):
    """A feature space; the function of its name in `bright_pipeline/models/metric_networks/networks.py` builds it.

    metrics: the names of its metrics, with the library or the protocol whose numbers they have.
    """

    name: str
    network: str  # in weights.yaml
    metrics: dict[str, str]
    words: str = ""  # the network's metrics, for the config's reference
    label: str = ""  # names the features in titles of columns; "": the columns are in settings/quantities.py
    columns_of: str = ""  # the space that has the same columns: a table refuses rows of both
    precision_recall: PrecisionRecall | None = None  # used only with this value of the config's key
    measures_reconstructions: bool = False  # whether it has the distance of reconstructions to their originals (rFID)


TORCH_FIDELITY = dict.fromkeys((DISTANCE, "kernel_distance", "score"), "torch-fidelity")

ALL = (
    Space("inception", "inception", TORCH_FIDELITY, "FID, KID, IS", measures_reconstructions=True),
    Space("inception_clean", "inception", {DISTANCE: "clean-fid"}, measures_reconstructions=True),
    Space("clip", "clip", {DISTANCE: "clean-fid"}, "CLIP-FID"),
    Space(
        "vgg16",
        "vgg16",
        {"precision_recall": "torch_fidelity"},
        words="precision, recall, density, coverage",
        precision_recall="torch_fidelity",
    ),
    Space(
        "vgg16_paper",
        "vgg16",
        {"precision_recall": "paper_repository"},
        columns_of="vgg16",
        precision_recall="paper_repository",
    ),
    Space("dinov2", "dinov2", {DISTANCE: "dgm-eval"}, "FD-DINOv2"),
    Space("clip_l14_336", "clip_l14_336", {"gaussian_kernel_distance": "google-research/cmmd"}, "CMMD"),
    Space(
        "efficientnet_lite0",
        "efficientnet_lite0",
        TORCH_FIDELITY | {"precision_recall": "torch_fidelity"},
        words="metrics of the same kind, under its own name",
        label="EfficientNet-Lite0",
        measures_reconstructions=True,
    ),
)
SPACES = {space.name: space for space in ALL}
NETWORKS = tuple(dict.fromkeys(space.network for space in ALL))


def space_of(name: str) -> Space:
    """A feature space by its name; an unknown one is an input error."""
    if name not in SPACES:
        raise InputError(f"space {name!r}: should be one of {', '.join(SPACES)}")
    return SPACES[name]


def spaces_of(network: str, precision_recall: PrecisionRecall) -> tuple[str, ...]:
    """The feature spaces of a network's metrics, given the config key evaluation.precision_recall."""
    used = (space for space in ALL if space.precision_recall in (None, precision_recall))
    return tuple(space.name for space in used if space.network == network)


def fewest_images(network: str) -> int:
    """The fewest images of a set from which all metrics of a network can be computed."""
    return max(FEWEST_IMAGES[metric] for space in ALL if space.network == network for metric in space.metrics)
