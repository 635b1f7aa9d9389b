"""The columns of the tables: each quantity as the paper prints it and as a run measures it."""

from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

from bright_pipeline.base.yaml_files import read_yaml
from bright_pipeline.settings.spaces import DISTANCE, OF_RECONSTRUCTIONS, SPACES, Space


@dataclass(frozen=True)
class Kind:
    """A kind of summaries: how their numbers were obtained, and what tables say below them."""

    name: str  # in the summary
    images: str = ""  # the images that its numbers were measured on; "" for none
    words: str = ""  # how numbers without images were obtained
    note: str = ""
    note_where_shown: bool = False  # only below a table that shows such a number
    of_training: bool = True  # whether it needs a trained model
    has_protocol: bool = True  # whether all rows of a dataset must share one
    may_not_apply: bool = False  # an absent number is not missing, such as the hash tables of a VQGAN
    has_seeds: bool = True  # whether a training seed can change it


NOTES = read_yaml(Path(__file__).with_name("notes.yaml"), "notes.yaml")


def _kind(name: str, **rest: Any) -> Kind:
    return Kind(name, note=NOTES.get(name, ""), **rest)


RECONSTRUCTIONS = _kind("reconstruction", images="validation images")
DISTANCES = _kind("reconstruction_distance", images="validation images")
COUNTED = _kind(
    "complexity",
    words="counted from the config",
    of_training=False,
    has_protocol=False,
    may_not_apply=True,
    has_seeds=False,
)
GENERATED = _kind("generation", images="samples")
CODES = _kind("codes", images="validation images under noise", note_where_shown=True, may_not_apply=True)
STORED = _kind("stored", images="validation images", note_where_shown=True, may_not_apply=True)
TIMED_DECODING = _kind("decoding", words="decoding timed side by side", note_where_shown=True, of_training=False)
TIMED_TRAINING = _kind("training", words="training timed", note_where_shown=True, has_protocol=False)
KINDS = {
    kind.name: kind
    for kind in (RECONSTRUCTIONS, DISTANCES, COUNTED, GENERATED, CODES, STORED, TIMED_DECODING, TIMED_TRAINING)
}


@dataclass(frozen=True)
class Quantity:
    """One quantity: its published column, its measured columns and their difference.

    `measured` maps a variant (a convention or a rule; "" where there is one way only) to the name of the
    measurement's value. The first variant is the one that the published number is compared with.
    """

    key: str
    label: str
    kind: Kind
    measured: dict[str, str]
    is_published: bool = False  # whether the paper prints it, under its key in bright_pipeline/tables/published
    decimals: int = 4
    has_std: bool = False
    two_std: bool = False  # shown as mean ± two standard deviations, as the authors' code prints it
    has_interval: bool = False  # shown as number [low, high]
    network: str | None = None
    on_page: str = ""  # format below an image of the page, such as `PSNR {:.2f} dB`
    significant: int = 0  # at least so many significant digits: small models' counts would round to nothing
    note: str = ""  # below a table that shows it

    @property
    def name(self) -> str:
        """The label without its arrow."""
        return self.label.rstrip(" ↑↓")

    @property
    def compared(self) -> str:
        """The measured value that a difference is taken from."""
        return next(iter(self.measured.values()))


def unpublished(quantities: tuple[Quantity, ...]) -> tuple[Quantity, ...]:
    """The same quantities in a table that the paper does not have."""
    return tuple(replace(quantity, is_published=False) for quantity in quantities)


def _per_image(key: str, label: str, metric: str, decimals: int, published: bool = True, **rest: Any) -> Quantity:
    """A metric of each reconstruction; rest: its `network`, and its format `on_page`."""
    return Quantity(key, label, RECONSTRUCTIONS, {"": metric}, published, decimals, has_std=True, two_std=True, **rest)


LPIPS = _per_image("lpips", "LPIPS ↓", "lpips_alex", 4, network="lpips_alex", on_page="LPIPS {:.4f}")
LPIPS_VGG = _per_image("lpips_vgg", "LPIPS-VGG ↓", "lpips_vgg", 4, published=False, network="lpips_vgg")
SSIM = _per_image("ssim", "SSIM ↑", "ssim", 4, on_page="SSIM {:.3f}")
PSNR = _per_image("psnr", "PSNR (dB) ↑", "psnr", 2, on_page="PSNR {:.2f} dB")
RECONSTRUCTION = (LPIPS, SSIM, PSNR, LPIPS_VGG)

BY_AUTHORS = tuple(
    replace(
        quantity,
        key=f"{quantity.key}_authors",
        label=f"{quantity.name}, authors' protocol {quantity.label[-1]}",
        measured={"": f"{quantity.compared}_authors"},
        is_published=False,
        on_page="",
    )
    for quantity in (LPIPS, SSIM, PSNR)
)
IMAGE_NETWORKS = tuple(dict.fromkeys(quantity.network for quantity in RECONSTRUCTION if quantity.network))

_bits = NOTES["code_bits"]
CODE_BITS = Quantity("bits_per_image", "Bits per image ↓", RECONSTRUCTIONS, {"": "code_bits"}, decimals=0, note=_bits)


def _count(key: str, label: str, decimals: int, measured: dict[str, str], published: bool = True) -> Quantity:
    return Quantity(key, label, COUNTED, measured, published, decimals, significant=3)


COUNTS = (
    _count("hash_table_params_millions", "Hash tables (M)", 1, {"ngp": "hash_tables.ngp", "tcnn": "hash_tables.tcnn"}),
    _count("decoder_params_millions", "Decoder (M)", 1, {"": "decoder_params"}),
    _count("decoder_gflops", "Decoding GFLOPs", 2, {"paper rule": "gmacs.paper_rule", "true count": "gmacs.true"}),
)
ENCODER = _count("encoder_params_millions", "Encoder (M)", 1, {"": "encoder_params"}, published=False)


def _space_metric(space: str, metric: str, key: str, label: str, decimals: int, **rest: Any) -> Quantity:
    """A metric in a feature space."""
    rest |= {"has_std": metric in WITH_DEVIATION, "has_interval": True, "network": SPACES[space].network}
    return Quantity(key, label, GENERATED, {"": f"{space}.{metric}"}, decimals=decimals, **rest)


WITH_DEVIATION = ("score_mean", "kernel_distance", "density")  # over splits, subsets or images
FID = _space_metric("inception", DISTANCE, "fid", "FID ↓", 2, is_published=True)
FID_CLEAN = _space_metric("inception_clean", DISTANCE, "fid_clean", "FID (clean-fid) ↓", 2)
CLIP_FID = _space_metric("clip", DISTANCE, "clip_fid", "CLIP-FID ↓", 2, is_published=True)
INCEPTION_SCORE = _space_metric("inception", "score_mean", "is", "IS ↑", 2, is_published=True)
PRECISION_RECALL = (
    _space_metric("vgg16", "precision", "precision", "Precision ↑", 2, is_published=True),
    _space_metric("vgg16", "recall", "recall", "Recall ↑", 2, is_published=True),
    _space_metric("vgg16", "f1", "f1", "F1 ↑", 3, is_published=True),
)
# Metrics beyond the paper.
FD_DINOV2 = _space_metric("dinov2", DISTANCE, "fd_dinov2", "FD-DINOv2 ↓", 2)
CMMD = _space_metric("clip_l14_336", "gaussian_kernel_distance", "cmmd", "CMMD ↓", 3, significant=3)
KID = _space_metric("inception", "kernel_distance", "kid", "KID ↓", 4, significant=3)
DENSITY_COVERAGE = (
    _space_metric("vgg16", "density", "density", "Density ↑", 3),
    _space_metric("vgg16", "coverage", "coverage", "Coverage ↑", 3),
)
# Numbers on other features never have the published metrics' names. For each metric: its names in summaries, its keys,
# titles and decimals.
ON_OTHER_FEATURES = {
    DISTANCE: ((DISTANCE, "fd", "FD ({}) ↓", 1),),
    "kernel_distance": (("kernel_distance", "kd", "KD ({}) ↓", 3),),
    "gaussian_kernel_distance": (("gaussian_kernel_distance", "mmd", "MMD ({}) ↓", 3),),
    "score": (("score_mean", "score", "Score ({}) ↑", 2),),
    "precision_recall": tuple(
        (name, name, f"{title} ({{}}) ↑", 3)
        for name, title in (
            *(("precision", "Precision"), ("recall", "Recall"), ("f1", "F1")),
            *(("density", "Density"), ("coverage", "Coverage")),
        )
    ),
}


def _labelled(space: Space) -> tuple[Quantity, ...]:
    """The columns of a space whose titles name its features."""
    return tuple(
        _space_metric(space.name, name, f"{key}_{space.name}", title.format(space.label), decimals)
        for metric in space.metrics
        for name, key, title, decimals in ON_OTHER_FEATURES[metric]
    )


EFFICIENTNET = _labelled(SPACES["efficientnet_lite0"])
LABELLED = tuple(quantity for space in SPACES.values() if space.label for quantity in _labelled(space))
GENERATION = (
    *(FID, FID_CLEAN, CLIP_FID, INCEPTION_SCORE, *PRECISION_RECALL),
    *(FD_DINOV2, CMMD, KID, *DENSITY_COVERAGE, *LABELLED),
)

# The same distances between the reconstructions of a validation split and that split; the paper prints none.
RECONSTRUCTION_DISTANCE = tuple(
    replace(
        quantity,
        key=f"r{quantity.key}",
        label=f"r{quantity.label}",
        kind=DISTANCES,
        measured={"": OF_RECONSTRUCTIONS + quantity.compared},
        is_published=False,
        decimals=2,
    )
    for quantity in GENERATION
    for space in SPACES.values()
    if space.measures_reconstructions and quantity.compared == f"{space.name}.{DISTANCE}"
)

# Distances of samples beside those of reconstructions, where a row is the autoencoder.
SAMPLE_DISTANCE = tuple(
    replace(quantity, label=f"{quantity.name} of samples ↓", is_published=False)
    for quantity in (FID, FID_CLEAN, *EFFICIENTNET[:2])
)

# The distance of samples over that of reconstructions. At 1, the decoder explains the whole distance.
RATIO = "over_rfid."
DISTANCE_RATIO = tuple(
    Quantity(f"{fd.key}_over_r{fd.key}", f"{fd.name} / r{fd.name} ↓", fd.kind, {"": RATIO + fd.compared}, decimals=2)
    for fd in (FID, FID_CLEAN, EFFICIENTNET[0])
)


def _code_quantity(
    key: str, label: str, decimals: int, significant: int = 0, network: str | None = None, kind: Kind = CODES
) -> Quantity:
    measured = {"": f"{kind.name}.{key}"}
    return Quantity(key, label, kind, measured, decimals=decimals, significant=significant, network=network)


# Beyond the paper: codes (section 3.4), bytes (section 5), speed and time.
USED_SHARE = _code_quantity("used_share", "Entries in use (%) ↑", 1)
USAGE = (
    _code_quantity("entries", "Entries", 0),
    USED_SHARE,
    _code_quantity("perplexity", "Perplexity ↑", 1),
    _code_quantity("evenness", "Perplexity / entries ↑", 3),
    _code_quantity("hit_variation", "Variation of hits ↓", 2),
)
RANGE = (
    _code_quantity("code_minimum", "Smallest code", 3),
    _code_quantity("code_maximum", "Largest code", 3),
    _code_quantity("code_variance", "Variance", 4, 3),
)
SPECTRUM = (
    _code_quantity("directions", "Principal directions above 0.05", 0),
    _code_quantity("mean_log_deviation", "Mean ln(principal deviation)", 2),
)
NOISE = (
    _code_quantity("psnr_quiet", "PSNR (dB) without noise ↑", 2),
    _code_quantity("psnr_fall", "PSNR's fall within ±1/(2 r_max) (dB) ↓", 2, 2),
    _code_quantity("lpips_rise", "LPIPS' rise within ±1/(2 r_max) ↓", 4, network="lpips_alex"),
    _code_quantity("tolerated_half_cells", "Noise for −1 dB, in 1/(2 r_max) ↑", 2),
    _code_quantity("tolerated_deviations", "Noise for −1 dB, in deviations ↑", 3),
)
BYTES = (
    _code_quantity("table_megabytes", "Hash tables (MB) ↓", 2, 3),
    _code_quantity("decoding_megabytes", "Decoder with tables (MB) ↓", 2, 3),
    _code_quantity("code_bytes", "Stored code of an image (B) ↓", 0),
    _code_quantity("collection_megabytes", "Stored codes of the collection (MB) ↓", 2, 3),
    _code_quantity("kept_megabytes", "All that is kept (MB) ↓", 2, 3),
)
KEY_BITS = range(1, 9)
CODECS = {"webp": "WebP", "avif": "AVIF", "jxl": "JPEG XL", "jpeg2000": "JPEG 2000"}
FILES = {"single": "each", "mosaic": "in one"}


_stored = partial(_code_quantity, kind=STORED)


def _stored_quality(key: str, words: str) -> tuple[Quantity, Quantity]:
    psnr = _stored(f"psnr_{key}", f"PSNR (dB), {words} ↑", 2)
    return psnr, _stored(f"lpips_{key}", f"LPIPS, {words} ↓", 4, network="lpips_alex")


MEMORY = (*_stored_quality("train", "training images"), *_stored_quality("new", "validation images"))
CODED = (
    _stored("bits_coded", "Coded bits per image ↓", 0),
    *_stored_quality("coded", "coded"),
    _stored("shared_megabits", "Shared (10^6 bits) ↓", 2),
    *(
        _stored(f"{codec}_{kind}_{metric}", f"{title}, {words}, bits at equal {metric.upper()}", 0)
        for (codec, title), (kind, words), metric in product(CODECS.items(), FILES.items(), ("psnr", "lpips"))
    ),
)
BY_BITS = (
    _stored("number_bits", "Bits of a number in `rates`", 0),
    *(_stored(f"psnr_{bits}", f"PSNR (dB), {bits} bits ↑", 2) for bits in KEY_BITS),
    *(_stored(f"bits_{bits}", f"Coded bits per image, {bits} bits", 0) for bits in KEY_BITS),
)
ADDED = (
    *_stored_quality("encoded", "encoder's codes"),
    *_stored_quality("codes", "tuned codes"),
    *_stored_quality("tables", "tuned codes and tables"),
    *_stored_quality("weights", "tuned codes and weights"),
    _stored("fall_tables", "Fall of earlier images by tables (dB) ↓", 2),
    _stored("fall_weights", "Fall of earlier images by weights (dB) ↓", 2),
)
EXCHANGED = (
    _stored("channel_most", "Change by the strongest channel", 1),
    _stored("channel_least", "Change by the weakest channel", 1),
    _stored("coarse", "Coarse share of a channel's change", 3),
    _stored("outside", "Share outside of a quadrant", 3),
)
DECODING_SPEED = Quantity(
    "decoded_per_second",
    "Decoded images/s ↑",
    TIMED_DECODING,
    {"": "decoding.images_per_second"},
    decimals=1,
    significant=3,
    has_interval=True,
)
TRAINING_SECONDS = Quantity(
    "training_seconds", "Training (s) ↓", TIMED_TRAINING, {"": "training.seconds"}, decimals=0, significant=3
)
