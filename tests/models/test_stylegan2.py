"""StyleGAN2: counts, styles, its penalties against formulas of their own, a training step, resume."""

import math

import pytest
import torch
from accelerate.state import AcceleratorState
from bright_pipeline.families.stylegan2 import StyleGAN2 as StyleGAN2Settings
from bright_pipeline.models.discriminator import Discriminator
from bright_pipeline.models.stylegan2 import StyleGAN2, mixed_styles
from bright_pipeline.training.batches import MicroBatch, TrainingImages
from bright_pipeline.training.loop import make_accelerator
from bright_pipeline.training.stylegan2 import Penalties, StyleGAN2Task, path_lengths

SHAPE = (1, 16, 16)

pytestmark = pytest.mark.usefixtures("fresh_process")


@pytest.fixture
def settings(tiny_stylegan2):
    return lambda **changes: StyleGAN2Settings.model_validate(tiny_stylegan2(**changes))


def noisy(settings):
    """A generator whose noise inputs show."""
    torch.manual_seed(0)
    model = StyleGAN2(settings, SHAPE)
    for name, parameter in model.named_parameters():
        if name.endswith("noise_strength"):
            torch.nn.init.constant_(parameter, 0.5)
    return model.eval()


@pytest.fixture
def generator(settings):
    return noisy(settings())


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


def test_at_1024_both_networks_have_the_authors_parameters():
    """NVlabs' stylegan2-ada-pytorch prints 29,012,513 for the discriminator, and 28,794,124 for the generator with two
    mapping layers: the six more of config F have 512^2 + 512 numbers each."""
    settings = StyleGAN2Settings(family="stylegan2", dataset="any")
    with torch.device("meta"):
        assert count(StyleGAN2(settings, (3, 1024, 1024))) == 28_794_124 + 6 * (512**2 + 512)
        assert count(Discriminator(settings.discriminator, 1024, 3)) == 29_012_513


def test_z_of_any_length_gives_the_same_w(generator):
    latents = torch.randn(3, 8)
    torch.testing.assert_close(generator.mapping(latents), generator.mapping(7 * latents), rtol=1e-4, atol=1e-6)


def test_the_mappings_layers_read_z_with_a_mean_square_of_one(generator):
    read = []
    generator.mapping.layers[0].register_forward_hook(lambda layer, inputs, output: read.append(inputs[0]))
    generator.mapping(7 * torch.randn(4, generator.mapping.layers[0].weight.shape[1]))
    torch.testing.assert_close(read[0].square().mean(dim=1), torch.ones(4))


def test_the_mapping_learns_at_a_hundredth_of_the_rate(generator):
    layer = generator.mapping.layers[0]
    used = (layer.weight * layer.gain).detach().clone()
    assert float(used.std()) == pytest.approx(1 / math.sqrt(8), rel=0.3)
    optimizer = torch.optim.Adam([layer.weight], lr=1e-2, betas=(0.0, 0.99))
    layer(torch.ones(2, 8)).sum().backward()
    optimizer.step()
    moved = (layer.weight * layer.gain - used).abs()
    torch.testing.assert_close(moved, torch.full_like(moved, 0.01 * 1e-2 / math.sqrt(8)), rtol=1e-2, atol=1e-8)


def test_mixed_styles_cross_over_at_each_images_own_layer():
    first, second = torch.zeros(3, 4), torch.ones(3, 4)
    styles = torch.stack(mixed_styles(first, second, torch.tensor([1, 4, 6]), 6))
    assert styles[:, :, 0].T.tolist() == [[0, 1, 1, 1, 1, 1], [0, 0, 0, 0, 1, 1], [0, 0, 0, 0, 0, 0]]


def test_a_style_bears_on_its_layer_and_those_above_alone(generator):
    """Each of the six: the first one moves the 4 x 4 features, the last one the last image alone."""
    features = []
    hooks = [
        layer.register_forward_hook(lambda module, inputs, output: features[-1].append(output))
        for block in generator.synthesis.blocks
        for layer in block.convolutions
    ]
    w, other = torch.randn(2, 2, 8).unbind()
    images = []
    for changed in (None, *range(generator.synthesis.layers)):
        features.append([])
        images.append(
            generator.synthesize([other if layer == changed else w for layer in range(generator.synthesis.layers)])
        )
    for hook in hooks:
        hook.remove()
    for changed in range(generator.synthesis.layers):
        same = [torch.equal(one, two) for one, two in zip(features[0], features[changed + 1], strict=True)]
        assert same == [layer < changed for layer in range(generator.synthesis.layers - 1)]
        assert not torch.equal(images[0], images[changed + 1])


def test_an_image_and_its_noise_depend_on_seed_and_index_alone(generator):
    together = generator.sample([4, 5, 6], 0)
    assert torch.equal(together[1], generator.sample([8, 5, 2], 0)[1])
    assert torch.equal(together[1], generator.sample([5, 9, 9], 0)[0])
    assert not torch.equal(together[1], generator.sample([5, 5, 5], 1)[0])


def test_without_noise_inputs_the_noise_changes_nothing(settings):
    model = noisy(settings(synthesis={"noise": False}))
    latents = torch.randn(2, model.settings.mapping.latent_width)
    assert torch.equal(model(latents, torch.randn), model(latents, torch.ones))


def test_path_lengths_are_norms_of_the_jacobian_by_hand(generator):
    """A full Jacobian by finite differences, for one image of 8 w in each of 6 layers."""
    torch.manual_seed(1)
    generator.double()
    noise = torch.randn(2, *SHAPE, dtype=torch.float64)
    styles = [torch.randn(2, 8, dtype=torch.float64, requires_grad=True) for _ in range(generator.synthesis.layers)]
    found = path_lengths(generator.synthesize(styles), styles, noise)
    step = 1e-4
    with torch.no_grad():
        gradient = torch.zeros(2, generator.synthesis.layers, 8, dtype=torch.float64)
        for layer in range(generator.synthesis.layers):
            for number in range(8):
                values = []
                for sign in (1, -1):
                    moved = [style.clone() for style in styles]
                    moved[layer][:, number] += sign * step
                    values.append((generator.synthesize(moved) * noise).flatten(1).sum(1) / 16)
                gradient[:, layer, number] = (values[0] - values[1]) / (2 * step)
        expected = gradient.square().sum(2).mean(1).sqrt()
    torch.testing.assert_close(found, expected, rtol=1e-2, atol=1e-3)


def test_the_path_length_penalty_of_a_linear_map_has_its_gradient_by_hand():
    """Images A w have J = A: length |A^T y| / sqrt(H W), and the penalty's derivative follows by hand."""
    torch.manual_seed(0)
    matrix = torch.randn(16, 3, dtype=torch.float64, requires_grad=True)
    style, noise = torch.randn(1, 3, dtype=torch.float64, requires_grad=True), torch.randn(1, 1, 4, 4).double()
    lengths = path_lengths((style @ matrix.T).reshape(1, 1, 4, 4), [style], noise)
    y = noise.flatten() / 4
    expected = (matrix.detach().T @ y).norm()
    assert float(lengths) == pytest.approx(float(expected))
    (gradient,) = torch.autograd.grad((lengths - 2.0).square().mean(), matrix)
    by_hand = 2 * (expected - 2) / expected * torch.outer(y, matrix.detach().T @ y)
    torch.testing.assert_close(gradient, by_hand)


def test_the_mean_path_length_follows_slowly():
    mean = Penalties()
    assert float(mean.follow(torch.tensor(10.0), 0.01)) == pytest.approx(0.1)
    assert float(mean.follow(torch.tensor(10.0), 0.01)) == pytest.approx(0.199)


@pytest.fixture
def make_task(tmp_path, tiny_images, settings):
    def make(**changes):
        AcceleratorState._reset_state(True)
        made = settings(**changes)
        accelerator = make_accelerator(made.execution, tmp_path)
        return StyleGAN2Task(made, TrainingImages(tiny_images), 0, accelerator)

    return make


def test_lazy_penalties_slow_the_optimizers_by_k_over_k_plus_1(make_task):
    task = make_task(training={"betas": [0.5, 0.99]})
    for name, every in (("model", 2), ("discriminator", 3)):
        (group,) = task.optimizers[name].param_groups
        share = every / (every + 1)
        assert group["lr"] == pytest.approx(2e-3 * share)
        assert group["betas"] == pytest.approx((0.5**share, 0.99**share))


def test_without_penalties_optimizers_are_adams_own(make_task):
    task = make_task(regularization={"r1_gamma": 0, "path_weight": 0})
    for optimizer in task.optimizers.values():
        assert optimizer.param_groups[0]["lr"] == pytest.approx(2e-3)
    task.start(0)
    numbers = task.step(0)
    assert float(numbers["r1"]) == float(numbers["path_penalty"]) == 0


def test_penalties_are_taken_at_their_steps_alone(make_task):
    task = make_task()
    task.start(0)
    rows = [task.step(step) for step in range(7)]
    for name, every in (("path_length", 2), ("r1", 3)):
        values = [float(row[name]) for row in rows]
        assert [one != other for one, other in zip([0.0, *values[:-1]], values, strict=True)] == [
            step % every == 0 for step in range(7)
        ]


def test_the_penalty_of_r1_moves_the_critic_alone_and_that_of_path_lengths_the_generator_alone(make_task):
    task = make_task()
    batch = [MicroBatch(torch.randn(4, 1, 32, 32), task.random(0), 1.0)]
    for act, moves, stays in (
        (lambda: task.minimize("discriminator", batch, task._r1_loss), task.discriminator, task.model),
        (lambda: task._step_path_length(0), task.model, task.discriminator),
    ):
        before = {name: [p.detach().clone() for p in m.parameters()] for name, m in (("m", moves), ("s", stays))}
        act()
        assert not all(map(torch.equal, before["m"], moves.parameters()))
        assert all(map(torch.equal, before["s"], stays.parameters()))


def test_the_average_has_its_half_life_in_images(make_task):
    assert make_task(training={"ema_half_life_images": 40}).ema.decay == pytest.approx(0.5 ** (4 / 40))


@pytest.mark.parametrize(("shape", "told"), [((1, 24, 24), "power of two"), ((3, 512, 512), "base: must be at least")])
def test_a_shape_that_cannot_be_is_refused(settings, shape, told):
    with pytest.raises(ValueError, match=told):
        StyleGAN2(settings(), shape)
