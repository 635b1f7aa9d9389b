"""One step of training an autoencoder."""

import math

import pytest
import torch
from bright_pipeline.data.archive import to_model
from bright_pipeline.settings.autoencoder import Autoencoder
from bright_pipeline.training.autoencoder import AutoencoderTask
from bright_pipeline.training.batches import MicroBatch, StepOrder, TrainingImages
from bright_pipeline.training.loop import make_accelerator

pytestmark = pytest.mark.usefixtures("fresh_process")


@pytest.fixture
def make_task(tmp_path, tiny_images, tiny_autoencoder):
    def make(seed=0, perceptual=None, **changes):
        settings = Autoencoder.model_validate(tiny_autoencoder(**changes))
        accelerator = make_accelerator(settings.execution, tmp_path)
        task = AutoencoderTask(settings, TrainingImages(tiny_images), perceptual, seed, accelerator)
        task.start(0)
        return task

    return make


def bits(module):
    return [p.detach().clone() for p in module.parameters()]


def test_seeds_decide_the_initial_weights_and_nothing_else_does(make_task):
    torch.manual_seed(5)
    one = make_task()
    torch.manual_seed(6)
    same, other = make_task(), make_task(seed=1)
    assert all(map(torch.equal, bits(one.model), bits(same.model)))
    assert not all(map(torch.equal, bits(one.model), bits(other.model)))


def first_batch(task):
    order = StepOrder(len(task.images), task.batch, task.seed, 0, 1)
    return next(task.images.batches(order)).float() / 127.5 - 1


def test_l2_of_a_step_is_that_of_its_batch_and_without_an_adversary_there_is_no_critic(make_task):
    """Without noise of any kind: from the model before the step and the batch that the order gives."""
    task = make_task(code_noise="none", losses={"adversarial": {"kind": "none"}})
    assert set(task.modules) == {"model"}
    images = first_batch(task)
    with torch.no_grad():
        expected = (task.model(images) - images).square().mean()
    numbers = {name: float(value) for name, value in task.step(0).items()}
    assert numbers == {"l2": pytest.approx(float(expected), rel=1e-4)}


def test_the_update_is_adams_on_the_weighted_losses_of_equation_5(make_task, networks_folder):
    """The loss is differentiated in two parts; Adam's first step with beta1 = 0 moves by lr x sign(gradient)."""
    task = make_task(
        code_noise="none",
        perceptual=networks_folder / "lpips_alex.safetensors",
        losses={"perceptual": {"network": "lpips_alex"}, "adversarial": {"weight": 0.5}},
    )
    images = first_batch(task)
    reconstructions = task.model(images)
    l2 = (reconstructions - images).square().mean()
    perceptual = task.perceptual(reconstructions, images).mean()
    adversarial = -task.discriminator(reconstructions).mean()
    wanted = torch.autograd.grad(20 * l2 + 5 * perceptual + 0.5 * adversarial, task.model.synthesis.parameters())
    numbers = task.step(0)
    assert float(numbers["perceptual"]) == pytest.approx(float(perceptual.detach()), rel=1e-4)
    assert float(numbers["adversarial"]) == pytest.approx(float(adversarial.detach()), rel=1e-3, abs=1e-5)
    for parameter, gradient in zip(task.model.synthesis.parameters(), wanted, strict=True):
        if parameter.numel() > 1:  # the noise's strength starts at zero and sees other noise
            torch.testing.assert_close(parameter.grad, gradient, rtol=1e-3, atol=1e-5)


def test_the_gradient_ratio_is_the_adversarial_pull_over_the_reconstructions(make_task):
    ratios = [
        float(make_task(losses={"adversarial": {"weight": weight}}).step(0)["gradient_ratio"]) for weight in (0.1, 0.4)
    ]
    assert ratios[1] == pytest.approx(4 * ratios[0], rel=1e-4)


def test_an_adaptive_adversary_pulls_the_last_layer_as_hard_as_the_other_losses(make_task):
    """VQGAN's equation 7 (Esser et al. 2021), from each loss by itself; the set weight stays in front."""
    task = make_task(code_noise="none", losses={"adversarial": {"weight": 0.5, "adaptive": True}})
    images = first_batch(task)
    reconstructions, layer = task.model(images), task.model.last_layer
    (own,) = torch.autograd.grad(20 * (reconstructions - images).square().mean(), layer, retain_graph=True)
    (adversarial,) = torch.autograd.grad(-task.discriminator(reconstructions).mean(), layer)
    task.step(0)
    expected = own + 0.5 * own.norm() / (adversarial.norm() + 1e-4) * adversarial
    torch.testing.assert_close(layer.grad, expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("kind", ["wgan_gp", "logistic_r1"])
def test_the_adversary_joins_when_it_is_told(make_task, kind):
    task = make_task(losses={"adversarial": {"kind": kind, "start_images": 8, "critic_only_images": 4}})
    keys = [set(task.step(step)) for step in range(4)]
    critic = {"critic_estimate", "gradient_penalty"}
    assert [critic <= found for found in keys] == [False, False, True, True]
    assert ["adversarial" in found for found in keys] == [False, False, False, True]


def test_the_critics_estimate_is_the_mean_score_of_real_images_less_that_of_reconstructions(make_task):
    task = make_task(losses={"adversarial": {"kind": "logistic_r1", "start_images": 0, "critic_only_images": 0}})
    images = first_batch(task)
    fakes = images.flip(3) / 2
    with torch.no_grad():
        expected = task.discriminator(images).mean() - task.discriminator(fakes).mean()
    _, numbers = task._discriminator_loss(MicroBatch(images, task.random(0), 1.0), fakes)
    torch.testing.assert_close(numbers["critic_estimate"].detach(), expected)


def test_adam_has_the_papers_betas_and_two_epsilons_and_the_ema_its_half_life(make_task):
    task = make_task(training={"encoder_learning_rate": 5e-4, "ema_half_life_images": 20, "decay": "cosine"})
    assert task.ema.decay ** (20 / 4) == pytest.approx(0.5)
    encoder, rest = task.optimizers["model"].param_groups
    (critic,) = task.optimizers["discriminator"].param_groups
    assert (encoder["lr"], rest["lr"], critic["lr"]) == (5e-4, 2e-3, 2e-3)
    assert encoder["eps"] == rest["eps"] == 1e-15
    assert critic["eps"] == 1e-8
    assert {group["betas"] for group in (encoder, rest, critic)} == {(0.0, 0.99)}
    counted = sum(p.numel() for group in (encoder, rest) for p in group["params"])
    assert counted == sum(p.numel() for p in task.model.parameters())
    for step, factor in ((0, 1), (20, 0.5), (39, (1 - math.cos(math.pi / 40)) / 2)):
        task.step(step)
        rates = [group["lr"] for group in (encoder, rest, critic)]
        assert rates == pytest.approx([5e-4 * factor, 2e-3 * factor, 2e-3 * factor])


def test_a_decoder_stage_keeps_the_encoder_and_adds_noise_in_deviations_of_the_codes(make_task, tmp_path):
    loaded = make_task().model.state_dict()
    changes = {"losses": {"adversarial": {"kind": "none"}}, "initial_weights": "main"}
    task = make_task(decoder_stage={"noise": 0.5}, **changes)
    task.load_initial_weights(loaded, tmp_path)
    images, seen = to_model(torch.stack([task.images[i] for i in range(len(task.images))])), []
    codes = task.model.encode(images)
    deviation = codes.transpose(0, 1).flatten(1).std(1)
    task.model.decode_noisy = lambda noisy, random: seen.append(noisy) or task.model.decode(noisy, noise=random.normal)
    task.model_pass(images, task.random(0, batch=len(images)))
    moved = (seen[0] - codes).transpose(0, 1).flatten(1).std(1) / deviation
    assert moved.tolist() == pytest.approx([0.5] * len(moved), rel=0.1)
    task.code_deviation = 100 * task.code_deviation
    task.model_pass(images, task.random(0, batch=len(images)))
    assert (seen[1].min(), seen[1].max()) == (0, 1), "keys stay in the tables"
    before = bits(task.model.encoder), bits(task.model.synthesis)
    task.step(0), task.step(1)
    assert all(map(torch.equal, before[0], bits(task.model.encoder)))
    assert not any(map(torch.equal, before[1], bits(task.model.synthesis)))
    task.ema.copy_to(task.model.parameters())
    assert torch.equal(task.model.encode(images), codes)  # the codes of the EMA too


def test_flips_mirror_some_images_and_none_without_them(make_task):
    seen = []
    for flip in (False, True):
        task = make_task(training={"flip": flip, "batch": 14})
        task.model.encoder.register_forward_pre_hook(lambda _, images: seen.append(images[0].detach().clone()))
        task.step(0)
    plain, flipped = seen
    mirrored = [torch.equal(b, a.flip(2)) for a, b in zip(plain, flipped, strict=True)]
    same = [torch.equal(b, a) for a, b in zip(plain, flipped, strict=True)]
    assert 2 <= sum(mirrored) <= 12
    assert all(m or s for m, s in zip(mirrored, same, strict=True))


def test_an_encoder_that_broke_makes_the_losses_nan_and_no_error(make_task):
    """Indices into the tables would be out of range; the loop's guard is to tell the story."""
    task = make_task()
    next(task.model.encoder.parameters()).data.fill_(float("nan"))
    assert math.isnan(float(task.step(0)["l2"]))
    task.preview()
