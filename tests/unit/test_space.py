"""The disk that a run takes: bounds from sizes and counts, and the doctor's line where it does not fit."""

from collections import Counter

import pytest
import torch
from finished_plan import TINY, finish, tiny_plan

from pipeline.base.paths import CONFIG
from pipeline.commands import doctor as doctors
from pipeline.config.root import read_config
from pipeline.estimation.devices import trainings
from pipeline.estimation.space import missing_space, parameters
from pipeline.models.checkpoints import make_autoencoder
from pipeline.models.discriminator import Discriminator
from pipeline.plan.shards import planned
from pipeline.stages.autoencoders import TRAIN_AUTOENCODER

pytestmark = pytest.mark.usefixtures("own_folder")


def test_images_codes_and_features_are_counted_by_their_sizes():
    plan = tiny_plan()
    found, png = missing_space(plan), 32 * 32 * 3 // 4
    jobs = Counter(job.stage.name for job in plan(planned).values())
    assert found["prepare_dataset"] == 160 * png
    assert found["reconstruct"] == jobs["reconstruct"] * 32 * png
    assert found["generate"] == jobs["generate"] * 32 * png
    assert found["dump_codes"] == jobs["dump_codes"] * 128 * (4 * 4 * 2) * 4
    finish(plan)
    assert missing_space(tiny_plan()) == {}, "what is there takes nothing more"


def test_a_training_is_its_weights_and_two_states_of_them():
    plan = tiny_plan()
    settings = plan.config.autoencoders["main"]
    model, discriminator = (
        sum(tensor.numel() for tensor in network.state_dict().values())
        for network in (make_autoencoder(settings, 32, 1), Discriminator(settings.discriminator, 32, 1))
    )
    assert parameters(plan.config, settings) == (model, discriminator)
    trained = [trainings(plan.config)[job.entry] for job in plan(planned).values() if job.stage == TRAIN_AUTOENCODER]
    sizes = [parameters(plan.config, one) for one in trained]
    assert missing_space(plan)["train_autoencoder"] == sum(4 * (m + 2 * (4 * m + 3 * d)) for m, d in sizes)


def test_the_papers_unet_has_358_million_numbers_and_none_is_allocated():
    config = read_config(CONFIG / "paper.yaml")
    model, discriminator = parameters(config, config.diffusions["ffhq"])
    assert (round(model / 1e6), discriminator) == (358, 0)
    assert torch.get_default_device().type == "cpu"


def test_the_doctor_says_where_a_run_will_not_fit(monkeypatch, capsys, tmp_path):
    (tmp_path / "config.yaml").write_text(TINY.read_text())
    needed = sum(missing_space(tiny_plan()).values())
    monkeypatch.setattr(doctors, "free_disk", lambda folder: needed - 1)
    doctors.doctor(tmp_path / "config.yaml")
    assert "may fill the disk: a run takes up to" in capsys.readouterr().out
    monkeypatch.setattr(doctors, "free_disk", lambda folder: needed)
    doctors.doctor(tmp_path / "config.yaml")
    assert "may fill the disk" not in capsys.readouterr().out
