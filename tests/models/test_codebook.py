"""Codebooks of VQGAN and RQ-VAE: nearest entries, straight-through gradients, restarts."""

import pytest
import torch
import torch.nn.functional as F
from bright_pipeline.models.codebook import random_codes
from bright_pipeline.models.rqvae import ResidualQuantizer
from bright_pipeline.models.vqgan import EntryUse
from first_stages import CODE, draws, images, small_model
from torch import distributed, multiprocessing
from vector_quantize_pytorch import ResidualVQ

QUANTIZED = ("vqgan", "rqvae")


def entries_of(model):
    return model.quantize.embedding.weight.detach() if hasattr(model, "quantize") else model.quantizer.entries


def spread(model):
    """Entries as far from each other as codes are."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        entries_of(model).copy_(torch.randn(model.codebook_size, CODE[0], generator=generator))
    return model


def test_rqvae_takes_the_nearest_entry_to_each_residual():
    model, residual = spread(small_model("rqvae")), codes()
    for depth in range(3):
        distances = (residual[:, None] - entries_of(model)[None, :, :, None, None]).square().sum(2)
        nearest = distances.argmin(1)
        assert torch.equal(model.indices(codes())[:, depth], nearest)
        residual = residual - entries_of(model)[nearest].movedim(-1, 1)
    torch.testing.assert_close(model.codes_of(model.indices(codes())), codes() - residual)


@pytest.mark.parametrize("family", QUANTIZED)
def test_the_gradient_passes_the_quantization_unchanged(family, monkeypatch):
    model = spread(small_model(family))
    held = codes(4).requires_grad_(True)
    monkeypatch.setattr(model, "encode", lambda pictures: held)
    direction, indices = images(), model.indices(held)
    reconstructions, _ = model.training_pass(images(), draws())
    (gradient,) = torch.autograd.grad((reconstructions * direction).sum(), held)
    entries = spread(small_model(family))  # before the step's averages moved those of RQ-VAE
    leaf = entries.codes_of(indices).detach().requires_grad_(True)
    (expected,) = torch.autograd.grad((model.decoder(leaf) * direction).sum(), leaf)
    torch.testing.assert_close(gradient, expected, atol=1e-5, rtol=1e-4)


def test_vqgans_losses_are_the_two_distances_with_their_weights():
    model = spread(small_model("vqgan", codebook={"commitment_weight": 2.0, "entry_weight": 0.5}))
    held = model.encode(images())
    distance = F.mse_loss(held, model.codes_of(model.indices(held)))
    _, own = model.training_pass(images(), draws())
    torch.testing.assert_close(own["commitment"], 2 * distance)
    torch.testing.assert_close(own["codebook"], distance / 2)
    (to_encoder,) = torch.autograd.grad(own["commitment"], model.quantize.embedding.weight, allow_unused=True)
    assert to_encoder is None
    (to_entries,) = torch.autograd.grad(own["codebook"], model.encoder.quant_conv.weight, allow_unused=True)
    assert to_entries is None


def test_rqvaes_loss_is_the_mean_of_the_distances_at_every_depth():
    model = spread(small_model("rqvae", codebook={"commitment_weight": 0.5}))
    held = model.encode(images()).detach()
    chosen = entries_of(model)[model.indices(held)].movedim(-1, 2)  # (N, depth, C_z, H_z, W_z)
    expected = torch.stack([F.mse_loss(held, chosen[:, : depth + 1].sum(1)) for depth in range(3)]).mean()
    _, own = model.training_pass(images(), draws())
    torch.testing.assert_close(own["commitment"], expected / 2)


def test_vectors_of_16_bits_are_quantized_as_numbers_of_32():
    quantizer, vectors = ResidualQuantizer(6, 4, 2, 0.9).eval(), torch.randn(3, 5, 4).bfloat16()
    assert torch.equal(quantizer(vectors)[0], quantizer(vectors.float())[0])


def test_the_quantizer_equals_vector_quantize_pytorchs_to_the_bit():
    """Indices, losses, their gradients and the averages, step by step; beginning with the same random entries."""
    torch.manual_seed(5)
    first = ResidualVQ(dim=4, num_quantizers=1, codebook_size=32).layers[0].codebook
    torch.manual_seed(5)
    own = ResidualQuantizer(32, 4, depth=3, decay=0.9)
    assert torch.equal(own.entries, first)
    exact = {"commitment_weight": 1.0, "threshold_ema_dead_code": 0, "rotation_trick": False}  # nothing at random
    other = ResidualVQ(dim=4, num_quantizers=3, codebook_size=32, shared_codebook=True, decay=0.9, **exact)
    codebook = other.layers[0]._codebook
    for buffer in (codebook.embed, codebook.embed_avg):
        buffer.copy_(own.entries[None])
    generator = torch.Generator().manual_seed(1)
    for _ in range(20):
        vectors = 0.5 * torch.randn(4, 25, 4, generator=generator)
        gradients = []
        for quantizer in (own, other):
            given = vectors.clone().requires_grad_(True)
            *_, indices, losses = quantizer(given)
            losses.mean().backward()
            gradients.append((indices, losses, given.grad))
        assert all(map(torch.equal, *gradients))
        held = [(own.entries, codebook.embed), (own.sums, codebook.embed_avg), (own.uses, codebook.cluster_size)]
        assert all(torch.equal(one, two[0]) for one, two in held)
    assert len(indices.unique()) > 8
    vectors = torch.randn(4, 25, 4, generator=generator)
    assert torch.equal(own.eval()(vectors)[0], other.eval()(vectors)[1])


@pytest.mark.parametrize(
    ("family", "key", "on", "off"), [("vqgan", "restart_after_images", 8, 0), ("rqvae", "restart_below", 1.0, 0.0)]
)
def test_restarts_bring_more_of_the_codebook_into_use(family, key, on, off):
    used = {}
    for value in (on, off):
        model = small_model(family, codebook={"entries": 32, key: value})
        with torch.no_grad():
            entries_of(model)[4:] += 100  # all but four entries lie where no code is, as of a codebook that began badly
        if family == "rqvae":  # its entries are averages, which begin at the entries
            model.quantizer.sums.copy_(entries_of(model))
        for step in range(12):
            model.training_pass(images(), draws(step))
        used[value] = int((model.count_hits(model.encode(images())) > 0).sum())
    assert used[off] <= 4
    assert used[on] > 12


def test_an_expired_entry_restarts_as_a_code_of_the_batch():
    use = EntryUse(3)
    use.count(torch.tensor([[0, 1]]), images=10)
    use.count(torch.tensor([[0]]), images=10)
    assert use.unused_images.tolist() == [0, 10, 20]
    assert use.expired(20).tolist() == [False, False, True]
    assert use.unused_images.tolist() == [0, 10, 0]
    model = small_model("vqgan", codebook={"restart_after_images": 1})
    held = model.encode(images()).movedim(1, -1).reshape(-1, 4)
    unused = model.indices(model.encode(images())).flatten().unique()
    model.training_pass(images(), draws())
    restarted = [entry for entry in range(16) if entry not in unused]
    assert restarted
    for entry in restarted:
        assert (held == entries_of(model)[entry]).all(1).any()


@pytest.mark.parametrize("processes", [2, 4])
def test_processes_together_draw_what_one_draws(processes, monkeypatch):
    vectors = torch.arange(4 * 3 * 2.0).reshape(4, 3, 2)
    whole = random_codes(vectors, 10, draws(1))
    parts = []
    for process in range(processes):
        share = draws(1, process=process, processes=processes)
        parts.append(random_codes(vectors[share.rows], 10, share))
    assert torch.equal(sum(parts), whole)  # a code that lies in another process counts as zero here
    assert all(any(torch.equal(row, v) for v in vectors.reshape(-1, 2)) for row in whole)
    assert len({tuple(row.tolist()) for row in whole}) > 3


RESTARTING = {"vqgan": {"entries": 24, "restart_after_images": 8}, "rqvae": {"entries": 24, "restart_below": 1.0}}


def after_passes(family, process=0, processes=1, steps=6):
    """The state after training passes over this process's share of each batch, without optimizer steps."""
    model = small_model(family, codebook=RESTARTING[family])
    for step in range(steps):
        random = draws(step, process=process, processes=processes)
        batch = torch.rand(4, 1, 16, 16, generator=torch.Generator().manual_seed(step)) * 2 - 1
        model.training_pass(batch[random.rows], random)
    return model.state_dict()


def in_one_of_two_processes(process, folder):
    torch.set_num_threads(1)  # a fork has no other thread
    distributed.init_process_group("gloo", f"file://{folder}/meeting", rank=process, world_size=2)
    torch.save({family: after_passes(family, process, 2) for family in QUANTIZED}, folder / f"{process}.pt")
    distributed.destroy_process_group()


@pytest.mark.slow
def test_two_processes_have_the_codebook_of_one(tmp_path):
    """Averages and restarts use the whole batch."""
    multiprocessing.start_processes(in_one_of_two_processes, (tmp_path,), nprocs=2, start_method="fork")
    first, second = (torch.load(tmp_path / f"{process}.pt", weights_only=True) for process in range(2))
    for family, name in (("vqgan", "quantize.embedding.weight"), ("rqvae", "quantizer.entries")):
        alone, untrained = after_passes(family), after_passes(family, steps=0)
        for key, expected in alone.items():
            assert torch.equal(first[family][key], second[family][key])
            torch.testing.assert_close(first[family][key], expected, atol=1e-5, rtol=1e-4)
        assert not torch.allclose(alone[name], untrained[name]), "nothing restarted"


def codes(count=2):
    return torch.randn(count, *CODE, generator=torch.Generator().manual_seed(7))


@pytest.mark.parametrize("family", QUANTIZED)
def test_indices_and_codes_go_around_and_hits_count_every_pick(family):
    model = spread(small_model(family))
    indices = model.indices(codes())
    assert indices.shape == ((2, 4, 4) if family == "vqgan" else (2, 3, 4, 4))
    quantized = model.codes_of(indices)
    assert quantized.shape == (2, *CODE)
    assert torch.equal(model.decoder(quantized), model.decode(codes()))
    if family == "vqgan":  # a sum of entries is not always the sum that its own quantization finds
        assert torch.equal(model.indices(quantized), indices)
    counted = model.count_hits(codes())
    assert counted.tolist() == [[(indices == entry).sum() for entry in range(16)]]
    assert model.reachable_entries().tolist() == [True] * 16
