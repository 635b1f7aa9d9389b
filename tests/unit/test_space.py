"""The disk that a run will take: bounds from sizes and counts, and the doctor's line where it will not fit."""

import copy
from collections import Counter

import pytest
import torch
import yaml
from finished_plan import TINY, finish, tiny_plan

from pipeline.commands import doctor as doctors
from pipeline.config.root import load_config
from pipeline.estimation.memory import trainings
from pipeline.estimation.report import missing_space
from pipeline.estimation.space import parameters
from pipeline.models.checkpoints import make_autoencoder
from pipeline.models.discriminator import Discriminator
from pipeline.plan.shards import planned


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_images_codes_and_features_are_counted_by_their_sizes():
    plan = tiny_plan()
    found, png = missing_space(plan), 32 * 32 * 3 // 4
    jobs = Counter(job.stage.name for job in plan(planned).values())
    assert found["prepare_dataset"] == 160 * png
    assert found["reconstruct"] == jobs["reconstruct"] * 32 * png
    assert found["generate"] == jobs["generate"] * 32 * png
    assert found["dump_codes"] == jobs["dump_codes"] * 128 * (4 * 4 * 2) * 4


def test_a_training_is_its_weights_and_two_states_of_them():
    plan = tiny_plan()
    settings = plan.config.autoencoders["main"]
    numbers = [
        sum(tensor.numel() for tensor in network.state_dict().values())
        for network in (make_autoencoder(settings, 32, 1), Discriminator(settings.discriminator, 32, 1))
    ]
    assert parameters(plan.config, settings) == tuple(numbers)
    model, discriminator = numbers
    assert missing_space(plan)["train_autoencoder"] >= 4 * (model + 2 * (4 * model + 3 * discriminator))


def test_the_papers_unet_has_358_million_numbers_and_none_is_allocated():
    paper = TINY.parents[2] / "config" / "paper.yaml"
    config = load_config(yaml.safe_load(paper.read_text(encoding="utf-8")))
    model, discriminator = parameters(config, config.diffusions["ffhq"])
    assert (round(model / 1e6), discriminator) == (358, 0)


def test_what_is_there_takes_nothing_more():
    plan = tiny_plan()
    finish(plan)
    assert missing_space(tiny_plan()) == {}


def test_the_doctor_says_where_a_run_will_not_fit(monkeypatch, capsys, tmp_path):
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(copy.deepcopy(yaml.safe_load(TINY.read_text()))))
    needed = sum(missing_space(tiny_plan()).values())
    monkeypatch.setattr(doctors, "free_disk", lambda folder: needed - 1)
    doctors.doctor(tmp_path / "config.yaml")
    assert "may fill the disk: a run takes up to" in capsys.readouterr().out
    monkeypatch.setattr(doctors, "free_disk", lambda folder: needed)
    doctors.doctor(tmp_path / "config.yaml")
    assert "may fill the disk" not in capsys.readouterr().out


def test_every_training_of_a_plan_is_counted():
    plan = tiny_plan()
    trained = [job for job in plan(planned).values() if job.is_training]
    assert len(trained) == 3
    assert all(parameters(plan.config, trainings(plan.config)[job.entry])[0] > 1000 for job in trained)
    assert torch.get_default_device().type == "cpu"
