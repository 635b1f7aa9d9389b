"""Feature spaces: a metric network (a weights file) with a preprocessing and a layer.

One file can serve several. InceptionV3 with torch-fidelity's resize gives FID and IS, with clean-fid's the
FID that clean-fid reports; VGG16 gives precision and recall as torch-fidelity takes them or as the
repository that the paper names does. Nothing here needs torch, so that a plan can be made with it.
"""

from pipeline.base.errors import InputError
from pipeline.settings.evaluation import PrecisionRecall

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

# What a reconstruction's distance to its originals (rFID) is taken in.
DISTANCE_NETWORKS = ("inception", "efficientnet_lite0")


def network_of(space: str) -> str:
    """The network whose weights a feature space needs; an unknown space is an input error."""
    try:
        return NETWORKS[space]
    except KeyError:
        raise InputError(f"space {space!r}: use {', '.join(NETWORKS)}") from None


def spaces_of(network: str, precision_recall: PrecisionRecall) -> tuple[str, ...]:
    """The feature spaces that a network's metrics are taken in (config key evaluation.precision_recall)."""
    left_out = "vgg16_paper" if precision_recall == "torch_fidelity" else "vgg16"
    return tuple(space for space, needed in NETWORKS.items() if needed == network and space != left_out)
