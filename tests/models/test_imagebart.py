"""ImageBART: multinomial diffusion against its definition, networks that see no future, sampling, training, resume."""

import math

import pytest
import torch
from accelerate.state import AcceleratorState
from bright_pipeline.base.errors import InputError
from bright_pipeline.families.imagebart import ImageBART as ImageBARTSettings
from bright_pipeline.models.imagebart import ImageBART, MultinomialDiffusion, draw
from bright_pipeline.training.batches import TrainingCodes
from bright_pipeline.training.imagebart import ImageBARTTask
from bright_pipeline.training.loop import make_accelerator
from first_stages import small_model

K, T = 6, 3
SHAPE = (2, 4, 4)
LENGTH = 16

pytestmark = pytest.mark.usefixtures("fresh_process")


@pytest.fixture
def settings(tiny_imagebart):
    return lambda **changes: ImageBARTSettings.model_validate(tiny_imagebart(**changes))


@pytest.fixture
def model(settings):
    """With weights so large that every input matters."""
    torch.manual_seed(0)
    made = ImageBART(settings(), SHAPE)
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    made.entries.copy_(torch.arange(K * 2).reshape(K, 2))
    return made.eval()


def one_step(diffusion, t):
    """The K x K matrix of q(x_t | x_{t-1}) from its definition: row i is Cat((1 - beta_t) e_i + beta_t / K)."""
    beta = 1 / (diffusion.steps - t + 1)
    return (1 - beta) * torch.eye(diffusion.categories) + beta / diffusion.categories


def test_the_marginal_is_the_composition_of_one_step_transitions():
    diffusion, composed = MultinomialDiffusion(T, K), torch.eye(K)
    for t in range(1, T + 1):
        torch.testing.assert_close(diffusion.transition(torch.arange(K), t), one_step(diffusion, t))
        composed = composed @ one_step(diffusion, t)
        torch.testing.assert_close(diffusion.marginal(torch.arange(K), t), composed)


@pytest.mark.parametrize("t", [1, 2, 3])
def test_the_posterior_is_bayes_rule_over_all_chains(t):
    """q(x_{t-1} | x_t, x_0) from the joint table over (x_0, x_{t-1}, x_t)."""
    diffusion = MultinomialDiffusion(T, K)
    before = torch.linalg.multi_dot([torch.eye(K), *(one_step(diffusion, s) for s in range(1, t)), torch.eye(K)])
    joint = before[:, :, None] * one_step(diffusion, t)[None]
    expected = (joint / joint.sum(1, keepdim=True)).transpose(1, 2)
    clean, noisy = torch.meshgrid(torch.arange(K), torch.arange(K), indexing="ij")
    found = diffusion.posterior(noisy, clean, t)
    possible = joint.sum(1) > 0
    torch.testing.assert_close(found[possible], expected[possible])
    torch.testing.assert_close(found.sum(-1), torch.ones(K, K))


def test_drawn_chains_have_the_marginals_frequencies():
    diffusion, generator = MultinomialDiffusion(T, K), torch.Generator().manual_seed(0)
    indices = torch.full((200_000,), 2)
    for t in range(1, T + 1):
        chances = torch.rand(indices.shape, generator=generator)
        indices = diffusion.advance(indices, t, chances, torch.randint(K, indices.shape, generator=generator))
        frequencies = torch.bincount(indices, minlength=K) / len(indices)
        torch.testing.assert_close(frequencies, diffusion.marginal(torch.tensor(2), t), atol=5e-3, rtol=0)


@pytest.mark.parametrize("t", [1, 2, 3])
@pytest.mark.parametrize("position", [0, 5, 15])
def test_a_prediction_sees_earlier_indices_and_all_of_the_noisier_ones_which_the_last_network_ignores(
    model, t, position
):
    torch.manual_seed(0)
    previous, noisy = torch.randint(K, (2, 2, LENGTH))
    one = model.reverse[t - 1](previous, noisy)
    assert one.shape == (2, LENGTH, K)

    def seen_by(*indices):
        """The positions whose prediction changes with one of the indices."""
        other = model.reverse[t - 1](*indices)
        return [i for i in range(LENGTH) if not torch.equal(one[:, i], other[:, i])]

    changed = torch.arange(LENGTH) == position
    assert seen_by((previous + changed) % K, noisy) == list(range(position + 1, LENGTH))
    assert seen_by(previous, (noisy + changed) % K) == (list(range(LENGTH)) if t < T else [])


@pytest.mark.parametrize("t", [1, 3])
def test_sampling_token_by_token_draws_from_the_predictions_of_the_whole_sequence(model, t):
    """With keys and values remembered, as if the network saw the sequence anew at each position."""
    torch.manual_seed(0)
    noisy, chances = torch.randint(K, (3, LENGTH)), torch.rand(3, LENGTH)
    with torch.no_grad():
        found = model.reverse[t - 1].sample(noisy, chances)
        assert torch.equal(draw(model.reverse[t - 1](found, noisy), chances), found)


def test_a_draw_has_the_probabilities_of_its_logits_also_at_the_ends() -> None:
    logits = torch.tensor([0.0, 2.0, -1.0, 1.0])
    drawn = draw(logits.expand(100_000, 4), torch.rand(100_000, generator=torch.Generator().manual_seed(0)))
    torch.testing.assert_close(torch.bincount(drawn, minlength=4) / 100_000, logits.softmax(0), atol=5e-3, rtol=0)
    logits = torch.tensor([[-math.inf, 0.0, 0.0, -math.inf]]).expand(2, 4)
    assert draw(logits, torch.tensor([1e-9, 1 - 2**-24])).tolist() == [1, 2]


def test_a_sample_is_entries_of_the_codebook_and_depends_on_seed_and_index_alone(model):
    together = model.sample([4, 5, 6], 0)
    assert together.shape == (3, *SHAPE)
    vectors = together.movedim(1, -1).flatten(0, 2)
    assert all((model.entries == vector).all(1).any() for vector in vectors)
    assert torch.equal(together[1], model.sample([8, 5, 2], 0)[1])
    assert torch.equal(together[1], model.sample([5, 9, 9], 0)[0])
    assert not torch.equal(together[1], model.sample([5, 5, 5], 1)[0])


def test_codes_lie_in_raster_order(model):
    indices = torch.arange(LENGTH)[None] % K
    assert model.codes(indices)[0, 0].tolist() == [
        [2.0 * ((4 * row + column) % K) for column in range(4)] for row in range(4)
    ]


def test_the_last_network_has_the_layers_of_both_halves(settings):
    made = ImageBART(settings(transformer={"encoder_layers": 3, "decoder_layers": 2}), SHAPE)
    assert [len(step.blocks) for step in made.reverse] == [2, 2, 5]
    assert [step.encoder is None for step in made.reverse] == [False, False, True]


def quantizer(family="vqgan", **codebook):
    """A small autoencoder whose entries are far apart."""
    changes = {"codebook": {"entries": K, **codebook}} if family != "kl" else {}
    model = small_model(family, code_size="4x4x2", **changes)
    if family == "vqgan":
        torch.nn.init.normal_(model.quantize.embedding.weight, generator=torch.Generator().manual_seed(0))
    return model.eval().requires_grad_(False)


def codes_of_four_kinds(decoder):
    """Codes of four kinds of maps, near the codebook's entries."""
    generator = torch.Generator().manual_seed(1)
    kinds = torch.randint(decoder.codebook_size, (4, 4, 4), generator=generator)
    exact = decoder.codes_of(kinds[torch.randint(4, (20,), generator=generator)])
    return TrainingCodes(exact + 0.01 * torch.randn(exact.shape, generator=generator), decoder)


@pytest.fixture
def make_task(tmp_path, settings):
    def make(**changes):
        AcceleratorState._reset_state(True)
        made = settings(**changes)
        accelerator = make_accelerator(made.execution, tmp_path)
        return ImageBARTTask(made, codes_of_four_kinds(quantizer()), 0, accelerator)

    return make


def test_the_task_knows_the_autoencoders_indices_and_codebook(make_task):
    task, vqgan = make_task(), quantizer()
    assert torch.equal(task.indices, vqgan.indices(codes_of_four_kinds(vqgan).codes).flatten(1))
    assert torch.equal(task.model.entries, vqgan.quantize.embedding.weight)


@pytest.mark.parametrize(
    ("decoder", "told"),
    [
        (("vqgan", {"entries": 7}), "codebook_size: the autoencoder's codebook has 7 entries, not 6"),
        (("rqvae", {"depth": 4}), "one index for each position"),
        (("kl", {}), "needs one with a codebook"),
    ],
)
def test_an_autoencoder_that_does_not_fit_is_told(tmp_path, settings, decoder, told):
    made, (family, changes) = settings(), decoder
    data = TrainingCodes(torch.randn(4, *SHAPE), quantizer(family, **changes))
    with pytest.raises(InputError, match=told):
        ImageBARTTask(made, data, 0, make_accelerator(made.execution, tmp_path))


def test_losses_are_cross_entropy_of_the_sample_and_for_the_last_divergence_from_the_posterior(make_task):
    task = make_task()
    torch.manual_seed(0)
    chain = [torch.randint(K, (4, LENGTH)) for _ in range(T + 1)]
    with torch.no_grad():
        for t in (1, 2, 3):
            logs = task.model.reverse[t - 1](chain[t - 1], chain[t]).log_softmax(-1)
            if t < T:
                expected = -logs.gather(2, chain[t - 1][..., None]).mean()
            else:
                posterior = task.model.diffusion.posterior(chain[t], chain[0], t)
                expected = (posterior * (posterior.log() - logs)).sum(-1).mean()
            torch.testing.assert_close(task._loss(chain, t), expected)


@pytest.mark.slow
def test_training_learns_and_samples_look_like_the_data(make_task):
    """Four kinds of maps: nearly all samples are one of them, which by chance none would be."""
    task = make_task(
        transformer={"width": 32, "heads": 2, "encoder_layers": 1, "decoder_layers": 2},
        training={"steps": 120, "batch": 16, "learning_rate": 1e-2},
    )
    task.start(0)
    rows = [task.step(step) for step in range(120)]
    assert float(rows[-1]["loss_1"]) < 0.3 < float(rows[0]["loss_1"])
    task.ema.copy_to(task.model.parameters())
    found = task.decoder.indices(task.model.eval().sample(list(range(40)), 0)).flatten(1)
    kinds = task.indices.unique(dim=0)
    share = (found[:, None] == kinds[None]).float().mean(-1).amax(1).mean()
    assert float(share) > 0.9
