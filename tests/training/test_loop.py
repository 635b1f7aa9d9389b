"""The training loop: saved states, exact resume, SIGTERM, the guard against NaN, history, previews."""

import csv
import logging
import os
import signal
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
import torch
from accelerate import tracking
from accelerate.utils import LoggerType
from bright_pipeline.base.errors import InputError
from bright_pipeline.base.progress import log_to
from bright_pipeline.settings.execution import Execution
from bright_pipeline.training import state
from bright_pipeline.training.batches import StepRandom
from bright_pipeline.training.history import History
from bright_pipeline.training.loop import Loop, make_accelerator, pause
from bright_pipeline.training.state import all_finite, load_tree, save_tree
from bright_pipeline.training.task import EMA
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import save

ALWAYS, NEVER = 1e-9, 1e9  # save_every_s


class Killed(BaseException):
    """Ends a training without any of its own code running, as SIGKILL does."""


class Line:
    """Fits y = 2 x. `at` has what happens in a step: a function of the task and its numbers."""

    name = "train line"

    def __init__(self, steps=12, at=None):
        torch.manual_seed(0)
        self.steps, self.batch, self.at = steps, 4, at or {}
        self.model = torch.nn.Linear(1, 1)
        self.modules = {"model": self.model}
        self.optimizers = {"model": torch.optim.Adam(self.model.parameters(), lr=0.1)}
        self.ema = EMA(self.model.parameters(), decay=0.9)
        self.started_at = None

    def start(self, step):
        self.started_at = step

    def step(self, step):
        x = StepRandom(0, step, self.batch, torch.device("cpu")).normal((4, 1))
        loss = (self.model(x) - 2 * x).square().mean()
        self.optimizers["model"].zero_grad()
        loss.backward()
        self.optimizers["model"].step()
        self.ema.step(self.model.parameters())
        numbers = {"loss": loss.detach()}
        self.at.get(step, lambda task, numbers: None)(self, numbers)
        return numbers

    def preview(self):
        return Image.new("L", (2, 2))

    def bits(self):
        return [p.detach().clone() for p in (*self.model.parameters(), *self.ema.weights)]


def kill(task, numbers):
    raise Killed


def terminate(task, numbers):
    os.kill(os.getpid(), signal.SIGTERM)


@pytest.fixture(autouse=True)
def undisturbed(fresh_process):
    yield
    logging.getLogger("bright_pipeline").handlers.clear()


def loop(task, work, save_every_s=ALWAYS, **execution):
    """The loop of a task: its validation metric is its first weight, a snapshot the text of that number."""

    def save(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(repr(task.model.weight.item()))

    task.execution = Execution(**{"log_every": 1, "previews": 0, **execution}, save_every_s=save_every_s)
    task.accelerator = make_accelerator(task.execution, work)
    return Loop(task, work, lambda model: {"validation_weight": model.weight.item()}, save)


def saved_step(work):
    return load_tree(work / "state.safetensors")["step"]


def steps_of(path):
    with path.open(newline="") as file:
        return [int(row["step"]) for row in csv.DictReader(file)]


@pytest.fixture
def uninterrupted(tmp_path):
    task = Line()
    loop(task, tmp_path / "uninterrupted").run()
    return task.bits()


@pytest.mark.parametrize(
    ("killed", "resumed_at"),
    [([0], 0), ([1], 1), ([11], 11), ([3, 4, 8], 8), ([4, (9, NEVER)], 4)],  # the last was killed between two saves
)
def test_a_killed_training_resumes_bit_identically(tmp_path, uninterrupted, killed, resumed_at):
    for kills in killed:
        step, save_every_s = kills if isinstance(kills, tuple) else (kills, ALWAYS)
        with pytest.raises(Killed):
            at = {0: lambda task, numbers: time.sleep(0.1), step: kill}
            loop(Line(at=at), tmp_path / "work", save_every_s).run()
    task = Line()
    history = loop(task, tmp_path / "work").run()
    assert task.started_at == resumed_at
    assert all(map(torch.equal, task.bits(), uninterrupted))
    assert [row["step"] for row in history.rows] == steps_of(tmp_path / "work" / "history.csv") == list(range(1, 13))
    seconds = [row["seconds"] for row in history.rows]
    assert seconds == sorted(seconds)
    again = Line(at=dict.fromkeys(range(12), kill))  # a finished training takes no step
    assert len(loop(again, tmp_path / "work").run().rows) == 12
    assert all(map(torch.equal, again.bits(), uninterrupted))


@pytest.mark.parametrize(("took_s", "expected"), [(0.1, 180), (4.9, 180), (6, 180), (30, 600)])
def test_states_that_take_long_to_save_are_saved_less_often(took_s: float, expected: float) -> None:
    assert pause(180, took_s) == pytest.approx(expected)


@pytest.mark.parametrize(("training", "told"), [("mine", r"without optimizers\.model"), ("yours", "another training")])
def test_a_state_of_another_version_or_training_is_one_line(tmp_path, training, told):
    state = {"training": training, "step": 3, "modules": {"model": Line().model.state_dict()}}
    save_tree(tmp_path / "mine" / "state.safetensors", state)
    with pytest.raises(InputError, match=rf"mine/state\.safetensors: .*{told}.*; delete it"):
        loop(Line(), tmp_path / "mine").run()


@pytest.mark.parametrize("save_every_s", [ALWAYS, NEVER])
def test_sigterm_saves_the_step_and_exits_with_143_unless_it_is_the_last(tmp_path, uninterrupted, save_every_s):
    log_to(tmp_path / "log")
    with pytest.raises(SystemExit) as ended:
        loop(Line(at={6: terminate}), tmp_path / "work", save_every_s).run()
    assert ended.value.code == 143
    assert saved_step(tmp_path / "work") == 7
    assert steps_of(tmp_path / "work" / "history.csv") == list(range(1, 8))
    task = Line(at={11: terminate})
    loop(task, tmp_path / "work", save_every_s).run()
    assert saved_step(tmp_path / "work") == 12
    assert all(map(torch.equal, task.bits(), uninterrupted))
    log = (tmp_path / "log").read_text()
    assert "asked to end: state saved at step 7" in log
    assert "resumed at step 7 of 12" in log


@pytest.mark.parametrize(
    ("trouble", "told"),
    [
        (lambda task, numbers: numbers.update(loss=torch.tensor(float("nan"))), "loss is not a finite"),
        (lambda task, numbers: task.model.weight.data.fill_(float("inf")), "weight is not"),
    ],
)
def test_nan_stops_with_one_line_and_never_replaces_the_state(tmp_path, trouble, told):
    with pytest.raises(Killed):
        loop(Line(at={5: kill}), tmp_path).run()
    before = (tmp_path / "state.safetensors").read_bytes()
    for log_every in (1, 100):
        with pytest.raises(InputError, match=told) as error:
            loop(Line(at={5: trouble}), tmp_path, log_every=log_every).run()
        line = str(error.value)
        assert "train line" in line and "at step 6" in line and "\n" not in line
    with pytest.raises(InputError, match=told):  # also in the last step, which always saves
        loop(Line(at={11: trouble}), tmp_path, NEVER, log_every=100).run()
    assert (tmp_path / "state.safetensors").read_bytes() == before
    assert steps_of(tmp_path / "history.csv") == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("trackers", [["tensorboard"], []])
def test_previews_and_tensorboard_files_appear(tmp_path, trackers):
    loop(Line(), tmp_path, previews=4, trackers=trackers).run()
    names = sorted(path.name for path in (tmp_path / "previews").iterdir())
    assert names == ["00000003.png", "00000006.png", "00000009.png"]
    assert bool(list(tmp_path.glob("tensorboard/events.out.tfevents.*"))) == bool(trackers)


def test_ema_weights_are_measured_at_intervals_and_at_the_end_and_no_bit_changes(tmp_path, uninterrupted):
    task = Line()
    averages = {}
    keep = lambda step: lambda task, numbers: averages.update({step + 1: task.ema.weights[0].item()})  # noqa: E731
    task.at = {step: keep(step) for step in range(12)}
    rows = loop(task, tmp_path, log_every=5, validate_every=4, keep_every=1).run().rows
    assert [row["step"] for row in rows] == [4, 5, 8, 10, 12], "every fifth, measured ones and the last"
    assert [row["images"] for row in rows] == [16, 20, 32, 40, 48]
    measured = {row["step"]: row["validation_weight"] for row in rows if "validation_weight" in row}
    assert measured == {step: averages[step] for step in (4, 8, 12)}
    assert "validation_weight" in (tmp_path / "history.csv").read_text()
    assert all(map(torch.equal, task.bits(), uninterrupted))


def test_snapshots_are_kept_every_so_many_steps_and_again_after_a_kill(tmp_path):
    snapshots = tmp_path / "whole" / "snapshots"
    loop(Line(), tmp_path / "whole", keep_every=5).run()
    assert sorted(path.name for path in snapshots.iterdir()) == ["00000005.safetensors", "00000010.safetensors"]
    with pytest.raises(Killed):
        loop(Line(at={6: kill}), tmp_path / "killed", keep_every=5).run()
    loop(Line(), tmp_path / "killed", keep_every=5).run()
    for path in snapshots.iterdir():
        assert (tmp_path / "killed" / "snapshots" / path.name).read_text() == path.read_text()


def test_threads_of_a_cpu_are_fixed(tmp_path, monkeypatch):
    fixed = []
    monkeypatch.setattr(torch, "set_num_threads", fixed.append)
    make_accelerator(Execution(cpu_threads=2), tmp_path)
    assert fixed == [2]


def test_matrix_products_are_rounded_to_tf32_where_a_training_asks_for_it(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.backends.cuda.matmul, "allow_tf32", False)
    for precision in ("tf32", "fp32"):
        make_accelerator(Execution(precision=precision), tmp_path)
        assert torch.backends.cuda.matmul.allow_tf32 == (precision == "tf32")


def test_a_tracker_that_is_not_installed_is_one_line(tmp_path):
    told = r"execution\.trackers: swanlab is not installed here: pip install swanlab, or remove it from the list"
    with pytest.raises(InputError, match=told):
        make_accelerator(Execution(trackers=["swanlab"]), tmp_path)


def test_a_tracker_by_name_gets_every_row_and_tensorboard_stays(tmp_path, monkeypatch):
    told, log = [], lambda values, step: told.append(step)
    run = SimpleNamespace(log=log, finish=lambda: told.append("finished"))
    package = SimpleNamespace(init=lambda **names: told.append(names) or run)
    monkeypatch.setitem(sys.modules, "trackio", package)
    # accelerate looks for packages when it is imported.
    monkeypatch.setattr(tracking, "_available_trackers", [*tracking.get_available_trackers(), LoggerType.TRACKIO])
    loop(Line(), tmp_path / "train-x", log_every=4, trackers=["tensorboard", "trackio"]).run()
    assert told == [{"project": "bright", "name": "train-x"}, 4, 8, 12, "finished"]
    assert list((tmp_path / "train-x" / "tensorboard").glob("events.out.tfevents.*"))


def numbered(step, **numbers):
    return {"step": step, "images": 4 * step, "seconds": step / 2, **numbers}


@pytest.mark.parametrize(("saved", "resumed_from"), [(0, 0), (5, 5), (12, 3), (8, 0)])
def test_a_resumed_run_has_no_row_twice_and_none_is_missing(tmp_path, saved, resumed_from):
    path = tmp_path / "history.csv"
    for first, last in ((0, saved), (resumed_from, 14)):
        history = History(path, first)
        for step in range(first + 1, last + 1):
            history.rows.append(numbered(step, l2=1 / step))
        history.save()
    assert [int(r["step"]) for r in History(path, 99).rows] == list(range(1, 15))


def test_a_loss_that_starts_late_has_a_column_that_is_empty_before(tmp_path):
    path = tmp_path / "history.csv"
    history = History(path, 0)
    history.rows.append(numbered(1, l2=0.5))
    history.rows.append(numbered(2, l2=0.123456789123, critic_estimate=-1.5))
    history.save()
    history.save(tmp_path / "elsewhere" / "history.csv")
    assert (tmp_path / "elsewhere" / "history.csv").read_text() == path.read_text()
    frame = pd.read_csv(path)
    assert ",0.123456789," in path.read_text()
    assert list(frame) == ["step", "images", "seconds", "l2", "critic_estimate"]
    assert frame["critic_estimate"].isna().tolist() == [True, False]
    again = History(path, 2)
    assert [row["step"] for row in again.rows] == [1, 2]
    assert again.seconds == 1.0


def test_a_training_that_was_too_short_for_a_row_has_the_first_columns(tmp_path):
    History(tmp_path / "history.csv", 0).save()
    assert (tmp_path / "history.csv").read_text() == "step,images,seconds\n"
    assert History(tmp_path / "history.csv", 5).seconds == 0.0


DTYPES = [torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.uint8, torch.bool]
tensors = st.builds(
    lambda shape, dtype, seed: (torch.rand(shape, generator=torch.Generator().manual_seed(seed)) * 9).to(dtype),
    st.lists(st.integers(0, 3), max_size=3),
    st.sampled_from(DTYPES),
    st.integers(0, 99),
)
leaves = st.one_of(
    tensors, st.none(), st.booleans(), st.integers(-(2**60), 2**60), st.floats(allow_nan=False), st.text(max_size=5)
)
keys = st.one_of(st.integers(0, 99), st.text("ab/.", min_size=1, max_size=3))
trees = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.lists(inner, max_size=3).map(tuple), st.dictionaries(keys, inner, max_size=3)
    ),
    max_leaves=8,
)


def same(one, other):
    if isinstance(one, torch.Tensor):
        return one.dtype == other.dtype and one.shape == other.shape and torch.equal(one, other)
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


WHOLE = torch.arange(6.0).reshape(2, 3)
SHARING_MEMORY = {"whole": WHOLE, "again": WHOLE, "part": WHOLE[1], "turned": WHOLE.T}
ALIKE_AS_PATHS = {"a/b": torch.tensor([1]), "a": {"b": torch.tensor([2])}, 1: torch.tensor([3]), "1": torch.tensor([4])}


@given(tree=st.dictionaries(keys, trees, max_size=4))
@example(tree=SHARING_MEMORY)
@example(tree=ALIKE_AS_PATHS)
def test_a_tree_comes_back_with_its_types_keys_and_bits(tmp_path, tree):
    save_tree(tmp_path / "state.safetensors", tree)
    assert same(load_tree(tmp_path / "state.safetensors"), tree)


def test_a_damaged_state_is_one_line_that_names_the_file(tmp_path):
    path = tmp_path / "state.safetensors"
    save_tree(path, {"step": 3, "weights": torch.ones(100)})
    no_tree = save({"weights": torch.ones(2)})
    for content in (path.read_bytes()[:-50], b"not safetensors at all", b"", no_tree):
        path.write_bytes(content)
        with pytest.raises(InputError, match=rf"^.*{path}.*delete it to start again.*$"):
            load_tree(path)


def test_a_kill_while_saving_leaves_the_state_before(tmp_path, monkeypatch):
    def half(tensors, path, metadata):
        Path(path).write_bytes(b"half")
        raise Killed

    path, before = tmp_path / "state.safetensors", {"step": 1, "weights": torch.ones(10)}
    save_tree(path, before)
    monkeypatch.setattr(state, "save_file", half)
    with pytest.raises(Killed):
        save_tree(path, {"step": 2, "weights": torch.zeros(10)})
    assert same(load_tree(path), before)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_one_bad_weight_among_all_modules_is_found(bad):
    modules = {"model": torch.nn.Linear(3, 3), "discriminator": torch.nn.Linear(3, 3)}
    assert all_finite(modules)
    with torch.no_grad():
        modules["discriminator"].bias[1] = bad
    assert not all_finite(modules)
