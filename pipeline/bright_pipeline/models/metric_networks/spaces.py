"""Feature spaces: a metric network (a weights file) with its preprocessing and layer.

One file can serve several spaces: InceptionV3 and VGG16 with the preprocessing of two libraries each. This module is
used for planning and does not import torch.
"""

from bright_pipeline.base.errors import InputError
from bright_pipeline.settings.evaluation import PrecisionRecall

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

NETWORKS: dict[str, str] = {
    "inception": "inception",
    "inception_clean": "inception",
    "clip": "clip",
    "clip_l14_336": "clip_l14_336",
    "vgg16": "vgg16",
    "vgg16_paper": "vgg16",
    "dinov2": "dinov2",
    "efficientnet_lite0": "efficientnet_lite0",
}

# Networks for the distance of reconstructions to their originals (rFID).
DISTANCE_NETWORKS = ("inception", "efficientnet_lite0")


def network_of(space: str) -> str:
    """The network of a feature space; an unknown space is an input error."""
    if space not in NETWORKS:
        raise InputError(f"space {space!r}: should be one of {', '.join(NETWORKS)}")
    return NETWORKS[space]


def spaces_of(network: str, precision_recall: PrecisionRecall) -> tuple[str, ...]:
    """The feature spaces of a network's metrics, given the config key evaluation.precision_recall."""
    unused = "vgg16_paper" if precision_recall == "torch_fidelity" else "vgg16"
    return tuple(space for space, needed in NETWORKS.items() if needed == network and space != unused)
