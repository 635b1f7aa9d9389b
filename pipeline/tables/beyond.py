"""Quantities of the tables beyond the paper's: codes (section 3.4), bytes (section 5), speed and time."""

from dataclasses import replace

from pipeline.tables.quantities import Quantity


def _of_codes(key: str, label: str, decimals: int, significant: int = 0) -> Quantity:
    return Quantity(key, label, "codes", {"": f"codes.{key}"}, decimals=decimals, significant=significant)


USED_SHARE = _of_codes("used_share", "Entries in use (%) ↑", 1)
USAGE = (
    _of_codes("entries", "Entries", 0),
    USED_SHARE,
    _of_codes("perplexity", "Perplexity ↑", 1),
    _of_codes("evenness", "Perplexity / entries ↑", 3),
)
RANGE = (
    _of_codes("code_minimum", "Smallest code", 3),
    _of_codes("code_maximum", "Largest code", 3),
    _of_codes("code_variance", "Variance", 4, 3),
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


def unpublished(quantities: tuple[Quantity, ...]) -> tuple[Quantity, ...]:
    """The same quantities in a table that the paper does not have."""
    return tuple(replace(quantity, published=None) for quantity in quantities)
