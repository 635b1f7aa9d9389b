"""The columns of the tables: each quantity as the paper prints it and as a run measures it."""

from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True)
class Quantity:
    """One quantity: its published column, its measured columns and their difference.

    `measured` maps a variant (a convention or a rule; "" where there is one way only) to the name of the
    measurement's value. The first variant is the one that the published number is compared with.
    """

    key: str
    label: str
    kind: str
    measured: dict[str, str]
    is_published: bool = False  # whether the paper prints it, under its key in bright_pipeline/tables/published
    decimals: int = 4
    has_std: bool = False
    two_std: bool = False  # shown as mean ± two standard deviations, as the authors' code prints it
    has_interval: bool = False  # shown as number [low, high]
    network: str | None = None
    on_page: str = ""  # format below an image of the page, such as `PSNR {:.2f} dB`
    significant: int = 0  # at least so many significant digits: small models' counts would round to nothing

    @property
    def name(self) -> str:
        """The label without its arrow."""
        return self.label.rstrip(" ↑↓")

    @property
    def compared(self) -> str:
        """The measured value that a difference is taken from."""
        return next(iter(self.measured.values()))

    @property
    def has_seeds(self) -> bool:
        """Whether a training seed can change it."""
        return self.kind != "complexity"


def unpublished(quantities: tuple[Quantity, ...]) -> tuple[Quantity, ...]:
    """The same quantities in a table that the paper does not have."""
    return tuple(replace(quantity, is_published=False) for quantity in quantities)


def _per_image(key: str, label: str, metric: str, decimals: int, published: bool = True, on_page: str = "") -> Quantity:
    """A metric of each reconstruction."""
    rest: Any = {"network": metric if metric.startswith("lpips") else None, "on_page": on_page}
    return Quantity(key, label, "reconstruction", {"": metric}, published, decimals, has_std=True, two_std=True, **rest)


LPIPS = _per_image("lpips", "LPIPS ↓", "lpips_alex", 4, on_page="LPIPS {:.4f}")
LPIPS_VGG = _per_image("lpips_vgg", "LPIPS-VGG ↓", "lpips_vgg", 4, published=False)
SSIM = _per_image("ssim", "SSIM ↑", "ssim", 4, on_page="SSIM {:.3f}")
PSNR = _per_image("psnr", "PSNR (dB) ↑", "psnr", 2, on_page="PSNR {:.2f} dB")
RECONSTRUCTION = (LPIPS, SSIM, PSNR, LPIPS_VGG)

CODE_BITS = Quantity("bits_per_image", "Bits per image ↓", "reconstruction", {"": "code_bits"}, decimals=0)


def _count(key: str, label: str, decimals: int, measured: dict[str, str], published: bool = True) -> Quantity:
    return Quantity(key, label, "complexity", measured, published, decimals, significant=3)


COUNTS = (
    _count("hash_table_params_millions", "Hash tables (M)", 1, {"ngp": "hash_tables.ngp", "tcnn": "hash_tables.tcnn"}),
    _count("decoder_params_millions", "Decoder (M)", 1, {"": "decoder_params"}),
    _count("decoder_gflops", "Decoding GFLOPs", 2, {"paper rule": "gmacs.paper_rule", "true count": "gmacs.true"}),
)
ENCODER = _count("encoder_params_millions", "Encoder (M)", 1, {"": "encoder_params"}, published=False)


def _of_space(
    space: str, metric: str, key: str, label: str, decimals: int, kind: str = "generation", **rest: Any
) -> Quantity:
    """A metric in a feature space, whose name starts with its network's."""
    name = f"{'rfid.' if kind == 'reconstruction_distance' else ''}{space}.{metric}"
    rest |= {"has_std": metric in WITH_DEVIATION, "has_interval": True, "network": space.removesuffix("_clean")}
    return Quantity(key, label, kind, {"": name}, decimals=decimals, **rest)


_DISTANCE = "frechet_distance"
WITH_DEVIATION = ("score_mean", "kernel_distance", "density")  # over splits, subsets or images
FID = _of_space("inception", _DISTANCE, "fid", "FID ↓", 2, is_published=True)
FID_CLEAN = _of_space("inception_clean", _DISTANCE, "fid_clean", "FID (clean-fid) ↓", 2)
CLIP_FID = _of_space("clip", _DISTANCE, "clip_fid", "CLIP-FID ↓", 2, is_published=True)
INCEPTION_SCORE = _of_space("inception", "score_mean", "is", "IS ↑", 2, is_published=True)
PRECISION_RECALL = (
    _of_space("vgg16", "precision", "precision", "Precision ↑", 2, is_published=True),
    _of_space("vgg16", "recall", "recall", "Recall ↑", 2, is_published=True),
    _of_space("vgg16", "f1", "f1", "F1 ↑", 3, is_published=True),
)
# Beyond the paper's.
FD_DINOV2 = _of_space("dinov2", _DISTANCE, "fd_dinov2", "FD-DINOv2 ↓", 2)
CMMD = _of_space("clip_l14_336", "gaussian_kernel_distance", "cmmd", "CMMD ↓", 3, significant=3)
KID = _of_space("inception", "kernel_distance", "kid", "KID ↓", 4, significant=3)
DENSITY_COVERAGE = (
    _of_space("vgg16", "density", "density", "Density ↑", 3),
    _of_space("vgg16", "coverage", "coverage", "Coverage ↑", 3),
)
# Other features, other numbers: never under the published metrics' names.
_LITE = "efficientnet_lite0"
EFFICIENTNET = tuple(
    _of_space(_LITE, metric, f"{key}_{_LITE}", f"{name} (EfficientNet-Lite0) {arrow}", decimals)
    for key, name, arrow, metric, decimals in (
        ("fd", "FD", "↓", _DISTANCE, 1),
        ("kd", "KD", "↓", "kernel_distance", 3),
        ("score", "Score", "↑", "score_mean", 2),
        ("precision", "Precision", "↑", "precision", 3),
        ("recall", "Recall", "↑", "recall", 3),
        ("f1", "F1", "↑", "f1", 3),
        ("density", "Density", "↑", "density", 3),
        ("coverage", "Coverage", "↑", "coverage", 3),
    )
)
GENERATION = (
    *(FID, FID_CLEAN, CLIP_FID, INCEPTION_SCORE, *PRECISION_RECALL),
    *(FD_DINOV2, CMMD, KID, *DENSITY_COVERAGE, *EFFICIENTNET),
)

# The same distances between the reconstructions of a validation split and that split; the paper prints none.
RECONSTRUCTION_DISTANCE = tuple(
    _of_space(space, _DISTANCE, key, label, 2, kind="reconstruction_distance")
    for space, key, label in (
        ("inception", "rfid", "rFID ↓"),
        ("inception_clean", "rfid_clean", "rFID (clean-fid) ↓"),
        ("efficientnet_lite0", "rfd_efficientnet_lite0", "rFD (EfficientNet-Lite0) ↓"),
    )
)


# Distances of samples beside those of reconstructions, where a row is the autoencoder.
SAMPLE_DISTANCE = tuple(
    replace(quantity, label=f"{quantity.name} of samples ↓", is_published=False)
    for quantity in (FID, FID_CLEAN, *EFFICIENTNET[:2])
)

# The first over the second. 1: samples are as near as the decoder lets them be.
RATIO = "over_rfid."
DISTANCE_RATIO = tuple(
    Quantity(f"{of.key}_over_r{of.key}", f"{of.name} / r{of.name} ↓", of.kind, {"": RATIO + of.compared}, decimals=2)
    for of in (FID, FID_CLEAN, EFFICIENTNET[0])
)


def _of_codes(key: str, label: str, decimals: int, significant: int = 0) -> Quantity:
    return Quantity(key, label, "codes", {"": f"codes.{key}"}, decimals=decimals, significant=significant)


# Beyond the paper's: codes (section 3.4), bytes (section 5), speed and time.
USED_SHARE = _of_codes("used_share", "Entries in use (%) ↑", 1)
USAGE = (
    _of_codes("entries", "Entries", 0),
    USED_SHARE,
    _of_codes("perplexity", "Perplexity ↑", 1),
    _of_codes("evenness", "Perplexity / entries ↑", 3),
    _of_codes("hit_variation", "Variation of hits ↓", 2),
)
RANGE = (
    _of_codes("code_minimum", "Smallest code", 3),
    _of_codes("code_maximum", "Largest code", 3),
    _of_codes("code_variance", "Variance", 4, 3),
)
SPECTRUM = (
    _of_codes("directions", "Principal directions above 0.05", 0),
    _of_codes("mean_log_deviation", "Mean ln(principal deviation)", 2),
)
NOISE = (
    _of_codes("psnr_quiet", "PSNR (dB) without noise ↑", 2),
    _of_codes("psnr_fall", "PSNR's fall within ±1/(2 r_max) (dB) ↓", 2, 2),
    _of_codes("lpips_rise", "LPIPS' rise within ±1/(2 r_max) ↓", 4),
    _of_codes("tolerated_half_cells", "Noise for −1 dB, in 1/(2 r_max) ↑", 2),
    _of_codes("tolerated_deviations", "Noise for −1 dB, in deviations ↑", 3),
)
BYTES = (
    _of_codes("table_megabytes", "Hash tables (MB) ↓", 2, 3),
    _of_codes("decoding_megabytes", "Decoder with tables (MB) ↓", 2, 3),
    _of_codes("code_bytes", "Code of an image (B) ↓", 0),
    _of_codes("collection_megabytes", "Codes of the collection (MB) ↓", 2, 3),
    _of_codes("kept_megabytes", "All that is kept (MB) ↓", 2, 3),
)
DECODING_SPEED = Quantity(
    "decoded_per_second",
    "Decoded images/s ↑",
    "decoding",
    {"": "decoding.images_per_second"},
    decimals=1,
    significant=3,
    has_interval=True,
)
TRAINING_SECONDS = Quantity(
    "training_seconds", "Training (s) ↓", "training", {"": "training.seconds"}, decimals=0, significant=3
)
