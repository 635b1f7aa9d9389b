"""Hits of hash-table entries at the finest resolution, against a count by hand (section 3.4, Fig. 5b)."""

import itertools
import math
from collections import Counter

import numpy as np
import pytest
import torch

from pipeline.evaluation.codes import count_hits, hit_statistics, write_hits
from pipeline.models.bright import Bright
from pipeline.settings.autoencoder import Autoencoder

PRIMES = (1, 2654435761, 805459861, 3674653429)
SIDE = 4  # H_d


def tiny_model(tiny_autoencoder, key_length, entries_log2):
    settings = tiny_autoencoder(
        code_size=f"2x2x{2 * key_length}",
        feature_size=SIDE,
        tables={"finest_resolution": 6, "key_length": key_length, "entries_log2": entries_log2},
        encoder={"multipliers": [1] * 5},
        decoder={"channels": [16, 8, 8, 8]},
    )
    return Bright(Autoencoder.model_validate(settings), 32, 1)


def count_by_hand(codes, key_length, nodes, entries):
    """Each key of each pixel reads the corners of its cell whose weights are above zero (tcnn's convention)."""
    dimensions, scale, groups = key_length + 2, nodes - 1, codes.shape[1] // key_length
    hits = [Counter() for _ in range(groups)]
    for code, group, row, column in itertools.product(codes, range(groups), range(SIDE), range(SIDE)):
        key = code[group * key_length : (group + 1) * key_length, row * 2 // SIDE, column * 2 // SIDE].tolist()
        query = [*key, (row + 0.5) / SIDE, (column + 0.5) / SIDE]
        position = [part * scale + 0.5 for part in query]
        for corner in itertools.product((0, 1), repeat=dimensions):
            weights = [
                p - math.floor(p) if step else 1 - (p - math.floor(p)) for p, step in zip(position, corner, strict=True)
            ]
            if math.prod(weights) > 0:
                node = [math.floor(p) + step for p, step in zip(position, corner, strict=True)]
                if nodes**dimensions <= entries:
                    index = sum(part * nodes**d for d, part in enumerate(node))
                else:
                    index = 0
                    for part, prime in zip(node, PRIMES, strict=False):
                        index ^= part * prime % 2**32
                hits[group][index % entries] += 1
    return torch.tensor([[counter[entry] for entry in range(entries)] for counter in hits])


@pytest.mark.parametrize(("key_length", "entries_log2"), [(1, 18), (2, 18), (1, 5)])
def test_hits_are_those_counted_by_hand(tiny_autoencoder, key_length, entries_log2):
    model = tiny_model(tiny_autoencoder, key_length, entries_log2)
    codes = torch.randint(0, 65, (7, 2 * key_length, 2, 2), generator=torch.Generator().manual_seed(0)) / 64
    nodes = 6  # ceil of the scale 6 - 1, plus 1
    entries = min(math.ceil(nodes ** (key_length + 2) / 8) * 8, 2**entries_log2)
    expected = count_by_hand(codes, key_length, nodes, entries)
    for micro_batch in (1, 3, 64):
        hits, reachable = count_hits(model, codes, micro_batch)
        assert torch.equal(hits, expected)
    assert not expected[:, ~reachable].any()


def test_reachable_entries_are_those_that_many_keys_hit(tiny_autoencoder):
    model = tiny_model(tiny_autoencoder, 1, 18)
    keys = torch.linspace(0, 1, 201).view(-1, 1, 1, 1).expand(-1, 2, 2, 2)
    hits, reachable = count_hits(model, keys, 64)
    assert torch.equal(hits[0] > 0, reachable)
    assert torch.equal(hits[1] > 0, reachable)


def test_statistics_are_of_the_reachable_entries_alone():
    hits = torch.tensor([[4, 0, 2, 99, 6], [1, 1, 1, 0, 1]])
    reachable = torch.tensor([True, True, True, False, True])
    found = hit_statistics(hits, reachable)
    assert (found["entries"], found["reachable"]) == (5, 4)
    assert found["share_hit"] == [0.75, 1.0]
    among = np.array([4, 0, 2, 6])
    assert found["coefficient_of_variation"] == pytest.approx([among.std() / among.mean(), 0])


def test_hits_are_written_without_pickle(tmp_path):
    hits, reachable = torch.tensor([[3, 0]]), torch.tensor([True, False])
    write_hits(tmp_path / "hits.npz", hits, reachable)
    with np.load(tmp_path / "hits.npz", allow_pickle=False) as file:
        assert file["hits"].tolist() == [[3, 0]]
        assert file["reachable"].tolist() == [True, False]
