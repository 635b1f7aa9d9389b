"""What this machine has: devices, cores, memory, disk, versions."""

import os
import platform
import shutil
from importlib.metadata import distributions, version
from pathlib import Path

import psutil
import torch

GIBI = 2**30
LIBRARIES = (
    *("torch", "torchvision", "diffusers", "accelerate", "lpips", "torchmetrics", "torch-fidelity", "clean-fid"),
    *("snakemake", "dvc"),
)
EXECUTOR = "snakemake-executor-plugin-"


def machine_facts(results: Path, optional: dict[str, str] | None = None) -> dict[str, str]:
    """Lines by what they are of; `results` is the folder whose disk counts; `optional`: lines on further packages."""
    memory, own = psutil.virtual_memory(), psutil.Process()
    cores = len(own.cpu_affinity()) if hasattr(own, "cpu_affinity") else os.cpu_count()
    return {
        "devices": devices(),
        "CPU cores": f"{cores} usable of {os.cpu_count()}",
        "memory": f"{memory.available / GIBI:.1f} GiB available of {memory.total / GIBI:.1f}",
        "disk": f"{free_disk(results) / GIBI:.1f} GiB free where {results} is",
        **(optional or {}),
        "executors": ", ".join(executors()) or "none besides local (an extra of this package: slurm)",
        "Python": platform.python_version(),
        "libraries": ", ".join(f"{library} {version(library)}" for library in LIBRARIES),
    }


def devices() -> str:
    """The GPUs with their memory; else that there is none."""
    if not torch.cuda.is_available():
        return "no CUDA device: the CPU does everything"
    found = [torch.cuda.get_device_properties(index) for index in range(torch.cuda.device_count())]
    return ", ".join(f"{gpu.name} ({gpu.total_memory / GIBI:.0f} GiB)" for gpu in found)


def free_disk(folder: Path) -> int:
    """Free bytes where a folder is or will be."""
    place = folder.absolute()
    while not place.exists():
        place = place.parent
    return shutil.disk_usage(place).free


def executors() -> list[str]:
    """Snakemake's executor plugins that are installed, by the names that --executor takes."""
    names = [str(package.metadata["Name"]) for package in distributions()]
    return sorted({name.removeprefix(EXECUTOR) for name in names if name.startswith(EXECUTOR)})
