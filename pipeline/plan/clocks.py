"""Inputs dated in the future: content decides, and Snakemake is not left to compare clocks.

Snakemake ends a job with an error where an output is older than an input, which one made on, or pulled from, a machine
whose clock is ahead is for as long as that takes: no rerun would help.
"""

import os
import time
from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from pipeline.base.errors import InputError


def set_back(paths: Iterable[str]) -> None:
    """Give files that are dated after this machine's clock the present time."""
    now = time.time()
    for path in sorted(set(paths)):
        with suppress(FileNotFoundError):
            dated = Path(path).stat().st_mtime
            if dated > now:
                _set_back(path, dated)


def _set_back(path: str, dated: float) -> None:
    try:
        os.utime(path)
    except OSError as error:
        told = (
            f"dated {datetime.fromtimestamp(dated):%Y-%m-%d %H:%M}, after this machine's clock, and can't be set back"
        )
        raise InputError(f"{path}: {told} ({error.strerror}); touch it, or mend the clock") from None
