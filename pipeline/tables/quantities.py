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

_METRICS = {
    "fd": ("FD", "↓", "frechet_distance", 1),
    "score": ("Score", "↑", "score_mean", 2),
    "precision": ("Precision", "↑", "precision", 3),
    "recall": ("Recall", "↑", "recall", 3),
    "f1": ("F1", "↑", "f1", 3),
}

FID = Quantity(
    "fid",
    "FID ↓",
    "generation",
    {"": "inception.frechet_distance"},
    published="fid",
    decimals=2,
    network="inception",
    reference=True,
)
CLIP_FID = Quantity(
    "clip_fid",
    "CLIP-FID ↓",
    "generation",
    {"": "clip.frechet_distance"},
    published="clip_fid",
    decimals=2,
    network="clip",
    reference=True,
)
INCEPTION_SCORE = Quantity(
    "is",
    "IS ↑",
    "generation",
    {"": "inception.score_mean"},
    published="is",
    decimals=2,
    has_std=True,
    network="inception",
)
PRECISION_RECALL = tuple(
    Quantity(
        key,
        f"{_METRICS[key][0]} ↑",
        "generation",
        {"": f"vgg16.{key}"},
        published=key,
        decimals=decimals,
        network="vgg16",
    )
    for key, decimals in (("precision", 2), ("recall", 2), ("f1", 3))
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
        network="efficientnet_lite0",
    )
    for key, (name, arrow, metric, decimals) in _METRICS.items()
)
GENERATION = (FID, CLIP_FID, INCEPTION_SCORE, *PRECISION_RECALL, *EFFICIENTNET)
