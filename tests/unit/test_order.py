"""The order of training items is a function of (seed, step) alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.training.batches import StepOrder, TrainingImages

counts, batches, seeds = st.integers(1, 40), st.integers(1, 12), st.integers(0, 5)


def batches_of(count, batch, seed, first, last, **processes):
    return list(StepOrder(count, batch, seed, first, last, **processes))


@given(counts, batches, seeds)
def test_each_epoch_is_a_permutation(count, batch, seed):
    epochs = 3
    steps = -(-epochs * count // batch)
    items = [item for rows in batches_of(count, batch, seed, 0, steps) for item in rows]
    for epoch in range(epochs):
        assert sorted(items[epoch * count : (epoch + 1) * count]) == list(range(count))


@given(counts, batches, seeds, st.integers(0, 30))
def test_starting_at_any_step_gives_the_same_batches(count, batch, seed, first):
    assert batches_of(count, batch, seed, first, 31) == batches_of(count, batch, seed, 0, 31)[first:]


@given(counts, batches, seeds, st.integers(1, 5))
def test_processes_split_the_global_batch(count, batch, seed, processes):
    parts = [batches_of(count, batch, seed, 0, 6, process=process, processes=processes) for process in range(processes)]
    joined = [[item for part in parts for item in part[step]] for step in range(6)]
    assert joined == batches_of(count, batch, seed, 0, 6)


@given(counts, batches, st.integers(0, 20), st.integers(0, 20))
def test_its_length_is_the_number_of_steps_left(count, batch, first, last):
    assert len(StepOrder(count, batch, 0, first, last)) == len(batches_of(count, batch, 0, first, last))


def test_epochs_and_seeds_have_orders_of_their_own():
    first, second = batches_of(50, 50, 0, 0, 2)
    (other,) = batches_of(50, 50, 1, 0, 1)
    assert len({tuple(first), tuple(second), tuple(other)}) == 3


@pytest.mark.parametrize("kept", [True, False])
def test_training_images_come_in_this_order(tiny_images, kept, monkeypatch):
    images = TrainingImages(tiny_images)
    if not kept:
        images.kept = None
        monkeypatch.setattr("pipeline.training.batches.own_cores", lambda: 2)
    order = batches_of(len(images), 4, 3, 2, 6)
    batches = list(images.batches(StepOrder(len(images), 4, 3, 2, 6)))
    assert [len(batch) for batch in batches] == [4] * 4
    for batch, indices in zip(batches, order, strict=True):
        assert (batch == images.archive.tensor(indices)).all()
