"""What the tables' columns hold: each quantity as the paper prints it and as we measure it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Quantity:
    """One quantity: a published column, the measured ones beside it, their difference.

    `measured` maps a variant (a convention or a rule; "" where there is one way only) to the name of the
    measurement's value. The first variant is the one that the published number is compared with.
    """

    key: str
    label: str
    kind: str
    measured: dict[str, str]
    published: str | None = None
    decimals: int = 4
    has_std: bool = False
    two_std: bool = False  # shown as mean ± two standard deviations, as the authors' code prints it
    has_interval: bool = False  # shown as number [low, high]
    network: str | None = None
    reference: bool = False  # the number depends on which reference images it is held against
    significant: int = 0  # at least so many significant digits: small models' counts would round to nothing

    @property
    def name(self) -> str:
        """The label without its arrow."""
        return self.label.rstrip(" ↑↓")

    @property
    def compared(self) -> str:
        """The measured value that a difference is taken from."""
        return next(iter(self.measured.values()))


def _per_image(key: str, label: str, metric: str, decimals: int, published: bool = True) -> Quantity:
    return Quantity(
        key,
        label,
        "reconstruction",
        {"": metric},
        published=key if published else None,
        decimals=decimals,
        has_std=True,
        two_std=True,
        network=metric if metric.startswith("lpips") else None,
    )


LPIPS = _per_image("lpips", "LPIPS ↓", "lpips_alex", 4)
LPIPS_VGG = _per_image("lpips_vgg", "LPIPS-VGG ↓", "lpips_vgg", 4, published=False)
SSIM = _per_image("ssim", "SSIM ↑", "ssim", 4)
PSNR = _per_image("psnr", "PSNR (dB) ↑", "psnr", 2)
RECONSTRUCTION = (LPIPS, SSIM, PSNR, LPIPS_VGG)

COUNTS = (
    Quantity(
        "hash_table_params_millions",
        "Hash tables (M)",
        "complexity",
        {"ngp": "hash_tables.ngp", "tcnn": "hash_tables.tcnn"},
        published="hash_table_params_millions",
        decimals=1,
        significant=3,
    ),
    Quantity(
        "decoder_params_millions",
        "Decoder (M)",
        "complexity",
        {"": "decoder_params"},
        published="decoder_params_millions",
        decimals=1,
        significant=3,
    ),
    Quantity(
        "decoder_gflops",
        "Decoding GFLOPs",
        "complexity",
        {"paper rule": "gmacs.paper_rule", "true count": "gmacs.true"},
        published="decoder_gflops",
        decimals=2,
        significant=3,
    ),
)
ENCODER = Quantity(
    "encoder_params_millions", "Encoder (M)", "complexity", {"": "encoder_params"}, decimals=1, significant=3
)


def _distance(key: str, label: str, kind: str, value: str, network: str, published: bool = False) -> Quantity:
    """A Fréchet distance in a feature space."""
    return Quantity(
        key,
        label,
        kind,
        {"": f"{value}.frechet_distance"},
        published=key if published else None,
        decimals=2,
        has_interval=True,
        network=network,
        reference=True,
    )


FID = _distance("fid", "FID ↓", "generation", "inception", "inception", published=True)
FID_CLEAN = _distance("fid_clean", "FID (clean-fid) ↓", "generation", "inception_clean", "inception")
CLIP_FID = _distance("clip_fid", "CLIP-FID ↓", "generation", "clip", "clip", published=True)
INCEPTION_SCORE = Quantity(
    "is",
    "IS ↑",
    "generation",
    {"": "inception.score_mean"},
    published="is",
    decimals=2,
    has_std=True,
    has_interval=True,
    network="inception",
)
PRECISION_RECALL = tuple(
    Quantity(
        key,
        f"{name} ↑",
        "generation",
        {"": f"vgg16.{key}"},
        published=key,
        decimals=decimals,
        has_interval=True,
        network="vgg16",
    )
    for key, name, decimals in (("precision", "Precision", 2), ("recall", "Recall", 2), ("f1", "F1", 3))
)
# Other features, other numbers: never under the published metrics' names.
EFFICIENTNET = tuple(
    Quantity(
        f"{key}_efficientnet_lite0",
        f"{name} (EfficientNet-Lite0) {arrow}",
        "generation",
        {"": f"efficientnet_lite0.{metric}"},
        decimals=decimals,
        has_std=key == "score",
        has_interval=True,
        network="efficientnet_lite0",
    )
    for key, name, arrow, metric, decimals in (
        ("fd", "FD", "↓", "frechet_distance", 1),
        ("score", "Score", "↑", "score_mean", 2),
        ("precision", "Precision", "↑", "precision", 3),
        ("recall", "Recall", "↑", "recall", 3),
        ("f1", "F1", "↑", "f1", 3),
    )
)
GENERATION = (FID, FID_CLEAN, CLIP_FID, INCEPTION_SCORE, *PRECISION_RECALL, *EFFICIENTNET)

# The same distances between the reconstructions of a validation split and that split; the paper prints none.
_RFID = "reconstruction_distance"
RECONSTRUCTION_DISTANCE = (
    _distance("rfid", "rFID ↓", _RFID, "rfid.inception", "inception"),
    _distance("rfid_clean", "rFID (clean-fid) ↓", _RFID, "rfid.inception_clean", "inception"),
    _distance(
        "rfd_efficientnet_lite0",
        "rFD (EfficientNet-Lite0) ↓",
        _RFID,
        "rfid.efficientnet_lite0",
        "efficientnet_lite0",
    ),
)
