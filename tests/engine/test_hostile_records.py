"""Files that can come with a clone, a pull or a model: hostile contents have no effect, or give one line."""

import copy
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from bright_pipeline.base.errors import InputError
from bright_pipeline.base.yaml_files import parse_yaml
from bright_pipeline.commands.prune import prune
from bright_pipeline.commands.share import sharable
from bright_pipeline.commands.status import job_states, text
from bright_pipeline.commands.verify import verify
from bright_pipeline.config.root import load_config, read_config
from bright_pipeline.data.fingerprint import read_fingerprint
from bright_pipeline.data.prepare import listed_names
from bright_pipeline.engine.atomic import write_json
from bright_pipeline.engine.damage import check_identities, code_of, identity_problem
from bright_pipeline.engine.jobs import planned
from bright_pipeline.engine.records import record_path
from bright_pipeline.engine.run import unfinished
from bright_pipeline.engine.shards import shards
from bright_pipeline.engine.store import ACCEPTED, identity_path
from bright_pipeline.plan.checks import name_clash, obstacles
from bright_pipeline.plan.publish import RECORD, dvc_file, publish, published_copies
from bright_pipeline.stages.autoencoders import autoencoder
from bright_pipeline.stages.common import Jobs
from finished_plan import TINY, finish, tiny_plan, tiny_values

pytestmark = pytest.mark.usefixtures("own_folder")

DEEP = pytest.param("[" * 100_000, id="deep")
STORED = "results/store/tables/table2-0123456789ab/table.csv"
ELSEWHERE = [
    *("{thesis}", "results/tiny/../../thesis.tex", "../thesis.tex", "thesis.tex", "results/other/table2.csv"),
    *("results/tiny/folder/thesis.tex", "results/tiny/link.csv", "results/tiny", "results/tiny/tables", "", ".", "\0"),
    *("results/tiny/" + "x" * 300, "results/tiny/\0", "results/store/tables", "results/tinyer/table2.csv", "~/x", "/"),
]


@pytest.fixture
def thesis(own_folder: Path) -> Path:
    """A finished tiny run beside a file that is none of its results; links in results/tiny lead to it."""
    finish(tiny_plan())
    path = own_folder / "thesis.tex"
    path.write_text("years of work")
    Path("results/tiny/folder").symlink_to(own_folder, target_is_directory=True)
    Path("results/tiny/link.csv").symlink_to(path)
    return path


def record(places: dict[str, Any]) -> None:
    path = Path("results/tiny") / RECORD
    write_json(path, json.loads(path.read_text()) | places)


NO_RESULTS: list[Any] = ["/etc/passwd", "../x", "results/store/../../x", "results", 5, None, {}, []]


@pytest.mark.parametrize("stored", [STORED, "tiny.yaml"])
def test_a_record_of_copies_or_results_elsewhere_is_reported_and_removes_nothing(thesis: Path, stored: str) -> None:
    Path("tiny.yaml").write_text("")
    named = {f"results/tiny/tables/{number}.csv": result for number, result in enumerate(NO_RESULTS)}
    for copy_ in named:
        Path(copy_).touch()
    record(places := named | dict.fromkeys((place.format(thesis=thesis) for place in ELSEWHERE), stored))
    assert not published_copies(tiny_plan()).keys() & places.keys()
    with pytest.raises(SystemExit):
        verify(TINY, repair=True)
    (line,) = publish(tiny_plan(), "tiny.yaml").damaged
    assert line.startswith(f"results/tiny/{RECORD}: ignored, since these are no copies of results: ")
    assert thesis.read_text() == "years of work"
    assert Path("results/tiny/link.csv").is_symlink() and all(Path(copy_).exists() for copy_ in named)
    assert not publish(tiny_plan(), "tiny.yaml").damaged, "the record was written anew"


def test_a_damaged_record_of_copies_is_written_anew(thesis: Path) -> None:
    path = Path("results/tiny") / RECORD
    before = json.loads(path.read_text())
    for content in ("", "[]", "5", "{", '{"a": ', "null", '"x"', "\0", "[" * 100_000):
        path.write_text(content)
        publish(tiny_plan(), "tiny.yaml")
        assert json.loads(path.read_text()) == before


def changed(**training: Any) -> Jobs:
    values = tiny_values()
    values["autoencoders"]["main"]["training"] |= training
    return Jobs(load_config(values))


def test_a_result_of_other_settings_does_not_count_and_is_reported(capsys: pytest.CaptureFixture[str]) -> None:
    finish(tiny_plan())
    main, ablation = (tiny_plan()(autoencoder, name) for name in ("main", "without-noise"))
    write_json(ACCEPTED, {f"train_autoencoder {main.digest}": ablation.digest})
    assert tiny_plan()(autoencoder, "main").digest == main.digest
    said = f"{ACCEPTED}: 'train_autoencoder {main.digest}': {ablation.digest} cannot count for autoencoders.main: "
    with pytest.raises(InputError, match="differs in its settings") as caught:
        check_identities(tiny_plan()(planned).values())
    assert str(caught.value).startswith(said)
    with pytest.raises(SystemExit):
        verify(TINY)
    assert f"damaged: {said}" in capsys.readouterr().out


def test_a_result_counts_with_the_keys_that_were_accepted_and_no_others() -> None:
    finish(tiny_plan())
    then = tiny_plan()(autoencoder, "main").digest
    now = f"train_autoencoder {changed(learning_rate=0.5)(autoencoder, 'main').digest}"
    for keys, counts in ((["learning_rate"], True), (["batch"], False), ([], False)):
        write_json(ACCEPTED, {now: {"digest": then, "keys": keys}})
        assert (changed(learning_rate=0.5)(autoencoder, "main").digest == then) == counts
    write_json(ACCEPTED, {now: {"digest": then, "keys": ["learning_rate"]}})
    check_identities(changed(learning_rate=0.5)(planned).values())
    identity_path("train_autoencoder", then).unlink()
    assert changed(learning_rate=0.5)(autoencoder, "main").digest != then, "nobody knows what it was made from"
    check_identities(changed(learning_rate=0.5)(planned).values())


DIGEST = "0123456789ab"
ENTRIES = [
    *("../../x", "", "0123456789AB", "0123456789a", f"{DIGEST}/x", "٠١٢٣٤٥٦٧٨٩ab", f"{DIGEST}\n"),
    *(5, None, [DIGEST], {}, {"digest": DIGEST}, {"digest": "../x", "keys": []}, {"digest": {}, "keys": []}),
    *({"digest": DIGEST, "keys": keys} for keys in ("x", [5])),
]


@pytest.mark.parametrize(
    "content",
    [
        *("[]", "5", "null", '"x"', "{", "", DEEP, "\0", '{"a": NaN}'),
        *(json.dumps({job: DIGEST}) for job in ("", "x", DIGEST, f"x  {DIGEST}", f"../x {DIGEST}", f"x {DIGEST}\n")),
        *(json.dumps({f"generate {DIGEST}": entry}) for entry in ENTRIES),
    ],
)
def test_damaged_acceptances_give_one_line(content: str) -> None:
    ACCEPTED.parent.mkdir(exist_ok=True)
    ACCEPTED.write_text(content)
    with pytest.raises(InputError, match=f"^{ACCEPTED}: ") as caught:
        tiny_plan()
    assert "\n" not in str(caught.value)
    assert not os.path.lexists("results/x")


VALUES = [None, -1, 1e308, 10**400, True, "", "x", "../../x", "\n", "\0", "x" * 5000, [], [[]], {}, {"": None}]
LONG = "x" * 100_000
TEXTS = ["", "5", "null", "[]", "{}", "{", "\0", "[" * 100_000, LONG, f"# The run of {LONG}", "a: &a [*a]"]


def malformed(valid: Any) -> Iterator[bytes]:
    """Contents that are no such file, and many in which a value is of another kind; JSON, which YAML contains."""
    yield from (text.encode() for text in TEXTS)
    yield b"\xff\xfe\xfa"
    lot, places = Random(0), list[list[Any]]([[]])
    for place in places:  # grows by the keys of what is found
        value = valid
        for key in place:
            value = value[key]
        keys = value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else []
        places += [[*place, key] for key in list(keys)[:8] if len(place) < 3]
    for *place, last in lot.choices(places[1:], k=60):
        changed = parent = copy.deepcopy(valid)
        for key in place:
            parent = parent[key]
        parent[last] = lot.choice(VALUES)
        yield json.dumps(changed).encode()


def _dvc(jobs: Jobs) -> tuple[Path, Any, Callable[[], object]]:
    folder = jobs(autoencoder, "main").folder
    valid = {"outs": [{"md5": "0" * 32 + ".dir", "size": 5, "nfiles": 3, "hash": "md5", "path": folder.name}]}
    return dvc_file(folder), valid, lambda: list(sharable([jobs]))


def _identity(jobs: Jobs) -> tuple[Path, Any, Callable[[], object]]:
    job = jobs(autoencoder, "main")
    path = identity_path(*job.key)
    return path, job.identity, lambda: [identity_problem(path), check_identities(tiny_plan()(planned).values())]


def _fingerprint(jobs: Jobs) -> tuple[Path, Any, Callable[[], object]]:
    valid = {"sha256": "0" * 64, "images": {"all": 4}, "files": {"a.png": "0" * 64}}
    return Path("results/fingerprints/x.json"), valid, lambda: read_fingerprint(Path("results/fingerprints/x.json"))


def _record(jobs: Jobs) -> tuple[Path, Any, Callable[[], object]]:
    (shard,) = shards(jobs(autoencoder, "main"))
    valid = {"state": "running", "rate": 2.0, "done": 3, "total": 4, "note": "x", "started_at": 0.0, "peak_mb": 5}
    valid |= {"beat_at": 1.0, "host": "x", "unit": "steps", "description": "x", "limit_mb": 5, "gpus": 0, "nodes": 1}
    return record_path(shard.log), valid, lambda: text("any", jobs, job_states(jobs))


def _config(jobs: Jobs) -> tuple[Path, Any, Callable[[], object]]:
    path = Path("results/tiny/config.yaml")
    return path, tiny_values(), lambda: [name_clash(jobs, "other.yaml"), read_config(path)]


@pytest.mark.parametrize("file", [_dvc, _identity, _fingerprint, _record, _config])
def test_malformed_files_of_a_clone_give_one_line_or_nothing(file, own_folder) -> None:
    jobs = tiny_plan()
    finish(jobs)
    path, valid, read = file(jobs)
    path.parent.mkdir(parents=True, exist_ok=True)
    before = {each for each in own_folder.rglob("*") if "results/work" not in str(each)}
    for content in malformed(valid):
        path.write_bytes(content)
        try:
            read()
        except InputError as error:
            assert "\n" not in str(error) and len(str(error)) < 3000, content[:100]
        except Exception as error:
            raise AssertionError(f"{error!r:.200} for {content[:200]!r}") from None
    path.unlink()
    assert {each for each in before if not each.exists()} <= {own_folder / path}


@pytest.mark.parametrize("kind", ["/dev/zero", "a pipe", "a folder", "nothing"])
def test_a_list_without_an_end_is_never_read(kind: str, tmp_path: Path) -> None:
    path = {"/dev/zero": Path("/dev/zero"), "a folder": tmp_path}.get(kind, tmp_path / "list.txt")
    if kind == "a pipe":
        os.mkfifo(path)
    reason = "not a readable text file" if kind == "nothing" else "must be a text file of at most 1 GB"
    with pytest.raises(InputError, match=f"^datasets.x.split.list: {path}: {reason}"):
        listed_names(path, "datasets.x")
    values = tiny_values()
    values["datasets"]["tiny"]["split"] = {"rule": "list", "list": str(path)}
    jobs = tiny_plan(values)
    assert any(line.startswith(f"datasets.tiny.split.list: {path}: ") for line in obstacles(jobs, unfinished(jobs)))


@pytest.mark.parametrize("text", ["!!bool x", "!!int ''", "!!timestamp x", "!!float x", "!!binary x", "!!set x"])
def test_tags_on_other_values_give_one_line(text: str) -> None:
    with pytest.raises(InputError, match=r"^where: not a readable YAML file \("):
        parse_yaml(f"a: {text}", "where")


@pytest.mark.parametrize("path", ["x" * 256, "x/" * 5000, "é" * 200])
def test_a_path_that_no_file_system_has_is_refused_by_its_key(path: str) -> None:
    values = tiny_values()
    values["datasets"]["tiny"]["source"] = {"kind": "folder", "path": path}
    with pytest.raises(InputError, match=r"source.*path: a path of at most 4,000 characters"):
        load_config(values)


@pytest.mark.parametrize(
    "made",
    [
        5,
        [],
        {"modules": ["x"]},
        {"modules": {"..x": "0"}},
        {"modules": {"a": 5}},
        {"modules": {}, "copy": "../../thesis"},
        {"modules": {"bright_pipeline.base": "0"}, "copy": "0123456789ab"},
    ],
    ids=str,
)
def test_a_record_of_hostile_code_is_damaged_and_names_no_path(own_folder: Path, made: Any) -> None:
    finish(plan := tiny_plan())
    path = identity_path(*plan(autoencoder, "main").key)
    write_json(path, json.loads(path.read_text()) | {"made_by": made})
    assert "damaged: its modules do not have the digest of its code" in str(identity_problem(path))
    known = code_of(*plan(autoencoder, "main").key)
    assert known in ({}, made) and known.get("copy", "0").isalnum()
    check_identities(tiny_plan()(planned).values())
    prune([TINY])
