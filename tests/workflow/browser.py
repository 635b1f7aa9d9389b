"""A headless Chromium for tests of pages: the system's own, or Debian's where it can be installed."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
INSTALL = (["apt-get", "update", "-qq"], ["apt-get", "install", "-y", "-qq", "--no-install-recommends", "chromium"])


def find_chromium() -> Path:
    """The browser's program; the test is skipped if there is none and none can be installed."""
    if (found := _found()) is None and shutil.which("apt-get") and os.geteuid() == 0:
        for command in INSTALL:
            subprocess.run(
                command, capture_output=True, check=False, env=os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
            )
        found = _found()
    if found is None:
        pytest.skip("no Chromium here, and none could be installed: `apt-get install chromium`")
    return found


def _found() -> Path | None:
    return next((Path(place) for name in NAMES if (place := shutil.which(name))), None)
