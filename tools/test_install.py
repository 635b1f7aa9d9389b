"""The lines of `make setup`, from what pip prints."""

import install

CUDA = [
    "Collecting torch==2.9\n",
    "Collecting nvidia-cudnn-cu13==9.1\n",
    "  Downloading nvidia_cudnn-9.1.whl (366.1 MB)\n",
]


def test_a_build_with_cuda_in_place_of_the_one_for_the_cpu_is_named() -> None:
    assert install.state(CUDA, 61.2) == "downloading, 2 packages, 366 MB, 0:01:01"
    line = install.other_build("3/4 PyTorch for the CPU (0.2 GB; with CUDA, make setup TORCH=)", CUDA)
    assert line is not None and "with CUDA, about 3 GB" in line
    assert install.other_build("3/4 PyTorch up to 3 GB with CUDA", CUDA) is None
    assert install.other_build("3/4 PyTorch for the CPU", ["Collecting torch==2.9+cpu\n"]) is None
