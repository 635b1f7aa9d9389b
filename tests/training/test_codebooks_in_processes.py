"""Several processes have the codebook of one: its averages and restarts use the whole batch."""

from pathlib import Path
from typing import Any

import pytest
import torch
from bright_pipeline.families import autoencoder_family, load
from bright_pipeline.training.batches import StepRandom
from torch import Tensor, distributed, multiprocessing

pytestmark = pytest.mark.slow

STEPS, BATCH = 6, 4
SETTINGS: dict[str, Any] = {
    "dataset": "any",
    "code_size": "4x4x4",
    "network": {"channels": 8, "multipliers": [1, 1, 2], "blocks": 1, "attention_resolutions": []},
}
CODEBOOKS: dict[str, dict[str, Any]] = {
    "vqgan": {"entries": 24, "restart_after_images": 8},
    "rqvae": {"entries": 24, "depth": 3, "restart_below": 1.0},
}


def untrained(family: str) -> Any:
    torch.manual_seed(0)
    of = autoencoder_family(family)
    return load(of.model)(
        of.settings.model_validate(SETTINGS | {"family": family, "codebook": CODEBOOKS[family]}), 16, 1
    )


def train(family: str, process: int, processes: int) -> dict[str, Tensor]:
    """The state after some training passes over this process's share of each batch, without optimizer steps."""
    torch.set_num_threads(1)
    model = untrained(family)
    for step in range(STEPS):
        images = torch.rand(BATCH, 1, 16, 16, generator=torch.Generator().manual_seed(step)) * 2 - 1
        random = StepRandom(0, step, BATCH, torch.device("cpu"), process, processes)
        model.training_pass(images[random.rows], random)
    return model.state_dict()


def run(process: int, family: str, processes: int, folder: Path) -> None:
    distributed.init_process_group("gloo", f"file://{folder}/meeting", rank=process, world_size=processes)
    torch.save(train(family, process, processes), folder / f"{process}.pt")
    distributed.destroy_process_group()


@pytest.mark.parametrize("family", ["vqgan", "rqvae"])
def test_two_processes_have_the_codebook_of_one(tmp_path: Path, family: str) -> None:
    multiprocessing.spawn(run, (family, 2, tmp_path), nprocs=2)
    first, second = (torch.load(tmp_path / f"{process}.pt", weights_only=True) for process in range(2))
    alone = train(family, 0, 1)
    assert all(torch.equal(first[name], second[name]) for name in alone)
    for name in alone:
        torch.testing.assert_close(first[name], alone[name], atol=1e-5, rtol=1e-4)
    name = {"vqgan": "quantize.embedding.weight", "rqvae": "quantizer.entries"}[family]
    assert not torch.allclose(alone[name], untrained(family).state_dict()[name]), "nothing restarted"
