"""The quality of the other families of `make demo-all`. Reads its results: `make bars-all` runs this.

A generator's images are compared with those of its own untrained network: the same number of images, seed and
sampler; codes are decoded by the same trained autoencoder.
"""

import json
from pathlib import Path

import pytest
import torch
from bright_pipeline.config.root import read_config
from bright_pipeline.data.archive import ImageArchive
from bright_pipeline.engine.jobs import path_of
from bright_pipeline.evaluation.feature_files import read_features
from bright_pipeline.evaluation.features import extract
from bright_pipeline.evaluation.frechet import frechet_distance
from bright_pipeline.generate import generate_shard
from bright_pipeline.models.checkpoints import load_generator, make_generator, pick_device, save_generator
from bright_pipeline.models.diffusion import build_unet, load_diffusion, save_diffusion
from bright_pipeline.stages.common import Jobs, network
from bright_pipeline.stages.datasets import dataset
from bright_pipeline.stages.evaluation import sample_features, split_features
from bright_pipeline.stages.generation import samples
from bright_pipeline.stages.measurements import reconstruction
from bright_pipeline.stages.tables import tables

pytestmark = pytest.mark.demo

ROOT = Path(__file__).parents[2]
SPACE, LIBRARY = "efficientnet_lite0", "torch-fidelity"
BETTER_THAN_THE_MEAN = 6.0  # dB
SHARE_OF_UNTRAINED = 0.6
TOKENIZERS = ("vqgan", "rqvae", "kl", "kl-weight-001", "kl-weight-003")
GENERATORS = ("ldm-vqgan", "ldm-rqvae", "ldm-kl-001", "ldm-kl-003", "ddpm", "stylegan2", "imagebart")


@pytest.fixture(scope="module")
def plan() -> Jobs:
    made = Jobs(read_config(ROOT / "config" / "demo-all.yaml"))
    if not made(tables)["table2"].complete:
        pytest.fail("the results of demo-all are missing: run `make demo-all` first")
    return made


@pytest.mark.parametrize("name", TOKENIZERS)
def test_reconstructions_beat_the_mean_image(plan: Jobs, name: str) -> None:
    data = plan(dataset, plan.config.autoencoders[name].dataset)
    train, validation = (ImageArchive(data.path(f"{split}.zip")).tensor().double() for split in ("train", "validation"))
    errors = (validation - train.mean(0, keepdim=True).round()).square().mean((1, 2, 3))
    floor = float((10 * (255**2 / errors).log10()).mean())  # of the mean training image in place of each
    summary = json.loads(Path(plan(reconstruction, name).path("summary.json")).read_text(encoding="utf-8"))
    reached = summary["values"]["psnr"]["number"]
    print(f"{name}: PSNR {reached:.2f} dB, mean image {floor:.2f} dB")
    assert reached >= floor + BETTER_THAN_THE_MEAN


@pytest.mark.parametrize("name", GENERATORS)
def test_generated_images_are_nearer_than_those_of_the_untrained_network(plan: Jobs, name: str, tmp_path: Path) -> None:
    data = plan.config.dataset_of(plan.config.samples[name])
    reference = read_features([Path(path) for path in plan(split_features, data, "validation", SPACE).outputs])
    trained = read_features([Path(path) for path in plan(sample_features, name, SPACE).outputs])
    job = plan(samples, name)
    inputs = {key: Path(path_of(file)) for key, (file,) in job.inputs.items()}
    torch.manual_seed(0)
    if "diffusion" in inputs:
        made = load_diffusion(inputs["diffusion"])
        unet = build_unet(made.settings.unet, made.code_size)
        inputs["diffusion"] = tmp_path / "untrained.safetensors"
        save_diffusion(inputs["diffusion"], unet, made.settings, made.code_size, made.rescaling)
    else:
        made = load_generator(inputs["generator"])
        inputs["generator"] = tmp_path / "untrained.safetensors"
        save_generator(inputs["generator"], make_generator(made.settings, made.shape), made.settings, made.shape)
    count = plan.config.samples[name].count
    generate_shard(json.dumps(job.settings), 0, count, tmp_path / "untrained.zip", **inputs)
    images, micro_batch = ImageArchive(tmp_path / "untrained.zip"), plan.config.evaluation.micro_batch
    features = extract(images, SPACE, Path(network(SPACE)), 0, None, micro_batch, pick_device()).features
    near = frechet_distance(trained.features, reference.features, LIBRARY)
    far = frechet_distance(features, reference.features, LIBRARY)
    print(f"{name}: Frechet distance {near:.1f}, of its untrained network {far:.1f}, ratio {near / far:.3f}")
    assert near <= SHARE_OF_UNTRAINED * far
