"""The lines of `make setup`, from what pip prints."""

import install

CUDA = [
    "Collecting torch==2.9\n",
    "Collecting nvidia-cudnn-cu13==9.1\n",
    "  Downloading nvidia_cudnn-9.1.whl (366.1 MB)\n",
]


def test_a_download_is_one_line() -> None:
    assert install.state(CUDA, 61.2) == "downloading, 2 packages, 366 MB, 0:01:01"
