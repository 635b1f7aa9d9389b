"""Every kind of file of a finished run, damaged in every way: it is named before it is used, unless nothing uses it."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from bright_pipeline.base.paths import RESULTS, STORE
from bright_pipeline.config.root import read_config
from bright_pipeline.engine.jobs import Output
from bright_pipeline.engine.shards import Shard, arguments, ordered, shards
from bright_pipeline.stages.common import Jobs
from tiny_workflow import Workflow

# Files that `bright verify` does not check, and why their damage is harmless.
OF_NO_USE = {
    r"logs/.*": "lines for people",
    r"(networks/\.lock|work/(reservations|checksums\.lock))": "empty: a lock",
    r"records/.*": "how jobs ran; no number of a table",
    r"work/[^/]+/(lock|tensorboard/.*|.*tfevents.*)": "no stage reads it",
    r"work/\.?fingerprints\.json.*": "times: without them raw images are read again",
    r"code/.*": "compared as a whole, or bytecode: test_code_copy.py",
    r"work/costs\.json": "of earlier estimates: without it models are counted again",
}
WRITTEN_AGAIN = r"tiny/(config\.yaml|dvc\.yaml|(metrics|headline)\.json|published\.json)"
CHECKSUM = r".*/SHA256SUMS"
# Files that every plan needs: a damaged one ends `bright verify`, too.
FIRST = r"fingerprints/.*"


def files(folder: Path) -> Iterator[str]:
    """The paths of all files in results."""
    for path in sorted((folder / RESULTS).rglob("*")):
        if path.is_file():
            yield str(path.relative_to(folder / RESULTS))


def kind(path: str) -> str:
    """The path without names and digests."""
    return re.sub(r"(\w|[.-])*-[0-9a-f]{12}|\d+", "*", path)


def one_of_each(folder: Path, wanted: str) -> list[str]:
    """One file of each kind whose path matches the pattern."""
    found = {kind(path): path for path in files(folder) if re.fullmatch(wanted, path)}
    return sorted(found.values())


def unlike(folder: Path, path: str) -> Path:
    """Another file with other content, of the same kind if possible."""
    own = (folder / RESULTS / path).read_bytes()
    others = sorted(files(folder), key=lambda other: kind(other) != kind(path))
    return next(place for other in others if (place := folder / RESULTS / other).read_bytes() != own)


DAMAGES = ("flip", "empty", "zero", "truncate", "swap")


def damaged(content: bytes, how: str, other: bytes) -> bytes:
    """The content after a damage: one flipped bit in the middle; zeros as after a power cut; another file's content."""
    middle = len(content) // 2
    match how:
        case "flip":
            return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
        case "zero":
            return bytes(len(content))
        case "truncate":
            return content[:middle]
    return other if how == "swap" else b""


def damage(folder: Path, path: str, how: str) -> None:
    file = folder / RESULTS / path
    file.write_bytes(damaged(file.read_bytes(), how, unlike(folder, path).read_bytes()))


@pytest.mark.parametrize("checksums", [False, True])
@pytest.mark.parametrize("how", ["flip", "empty", "swap"])
def test_verify_names_every_damaged_file_and_checksum(play: Workflow, how: str, checksums: bool) -> None:
    run = play.with_own_networks()
    apart = "|".join([*OF_NO_USE, WRITTEN_AGAIN, FIRST])
    chosen = one_of_each(run.folder, rf"store/{CHECKSUM}" if checksums else rf"(?!{CHECKSUM})(?!{apart}).*")
    found = {path.split("/")[0] for path in chosen}
    assert found == ({"store"} if checksums else {"store", "work", "networks", "identities", "tiny"})
    others = {path: unlike(run.folder, path).read_bytes() for path in chosen}  # all of them are read before any damage
    for path, other in others.items():
        file = run.folder / RESULTS / path
        file.write_bytes(damaged(file.read_bytes(), how, other))
    said = run.python("bright_pipeline.commands", "verify", "config.yaml", expect=1).text
    lines = [line for line in said.splitlines() if line.startswith("damaged: ")]
    unnamed = [path for path in chosen if not any(path in line for line in lines)]
    assert not unnamed, said
    assert "Traceback" not in said


@pytest.mark.parametrize("how", ["flip", "empty"])
def test_a_damaged_fingerprint_is_named_before_anything_is_planned(play: Workflow, how: str) -> None:
    (path,) = one_of_each(play.folder, FIRST)
    damage(play.folder, path, how)
    for said in (play.run("-n", expect=1), play.python("bright_pipeline.commands", "verify", "config.yaml", expect=2)):
        assert f"results/{path}: " in said.text
        assert "Traceback" not in said.text


@pytest.mark.parametrize("how", ["flip", "empty"])
def test_what_is_of_no_use_is_written_again_or_harms_nobody(play: Workflow, how: str) -> None:
    (play.folder / RESULTS / "work" / "costs.json").write_text("{}")  # estimates write it where a record is missing
    before = {path: (play.folder / RESULTS / path).read_bytes() for path in files(play.folder)}
    unused = [path for pattern in OF_NO_USE for path in one_of_each(play.folder, pattern)]
    for path in (*unused, *one_of_each(play.folder, WRITTEN_AGAIN)):
        if before[path]:
            damage(play.folder, path, how)
    assert play.run().nothing_to_do
    for command in ("status", "estimate", "doctor"):
        assert "Traceback" not in play.python("bright_pipeline.commands", command, "config.yaml").text
    after = {path: (play.folder / RESULTS / path).read_bytes() for path in files(play.folder)}
    assert {path for path in before | after if before.get(path) != after.get(path)} <= set(unused)


def readers(jobs: Jobs) -> Iterator[tuple[Shard, str]]:
    """Shards and files of the store that they read: each stage, and each kind of file."""
    seen: set[str] = set()
    for job in ordered(jobs):
        for shard in shards(job)[:1]:
            for source in (one for sources in shard.inputs.values() for one in sources):
                if isinstance(source, Output) and not seen >= {job.stage.name, kind(source.path)}:
                    seen |= {job.stage.name, kind(source.path)}
                    yield shard, source.path


def test_no_stage_uses_a_damaged_file(play: Workflow, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(play.folder)
    found = list(readers(Jobs(read_config(Path("config.yaml")))))
    stages = {shard.job.stage.name for shard, _ in found}
    assert {"train_diffusion", "score_features", "make_table", "make_report"} < stages
    for number, (shard, path) in enumerate(found):
        how = DAMAGES[number % len(DAMAGES)]
        whole = Path(path).read_bytes()
        made = {output: Path(output).read_bytes() for output in shard.outputs}
        damage(play.folder, str(Path(path).relative_to(RESULTS)), how)
        command, where = ["python", "-m", shard.job.stage.command, *arguments(shard)], f"{path} after {how}"
        try:  # it ends with one line that names the file
            said = play.call(*command, expect=2).text
            (line,) = [line for line in said.splitlines() if line.startswith("error: ")]
            named = path in line
        except AssertionError:  # or it does not need the file, and writes the same outputs
            said, named = play.call(*command).text, True
        assert named and "Traceback" not in said, where
        assert {output: Path(output).read_bytes() for output in made} == made, where
        Path(path).write_bytes(whole)


def test_after_repair_and_a_run_everything_is_as_it_was(tiny_run: Workflow, play: Workflow) -> None:
    chosen = {
        "flip": r"store/codes/main-.*/codes\.safetensors",
        "zero": r"store/autoencoders/main-.*/autoencoder\.safetensors",
        "truncate": r"store/samples/main-.*/images-000016-000032\.zip",
        "swap": r"store/tables/table2-.*/table\.csv",
        "empty": r"store/complexity/.*/complexity\.json",
    }
    hurt = [(how, path) for how, pattern in chosen.items() for path in one_of_each(play.folder, pattern)[:1]]
    hurt += [("flip", path) for path in one_of_each(play.folder, r"tiny/tables/table3\.md")]
    for how, path in hurt:
        damage(play.folder, path, how)
    assert play.python("bright_pipeline.commands", "status", "config.yaml").text.startswith(
        "config.yaml: 62 of 65 jobs done, 3 damaged"
    )
    planned = play.run("-n", expect=1).text
    assert planned.count("error: ") == 3
    said = play.python("bright_pipeline.commands", "verify", "config.yaml", "--repair").text
    for _, path in hurt:
        assert f"damaged: results/{path}" in said
        assert (play.folder / RESULTS / "damaged" / path).exists()
    again = ("train_autoencoder", "dump_codes", "generate", "make_table", "complexity")
    assert play.run().jobs == dict.fromkeys(again, 1)
    play.python("bright_pipeline.commands", "verify", "config.yaml")
    assert results(play) == results(tiny_run)


def test_a_missing_record_of_code_is_written_by_a_run_with_nothing_to_make(tiny_run: Workflow, play: Workflow) -> None:
    """So ends a run that was killed between its last job and its records, while another one waited."""
    next((play.folder / RESULTS / "identities").glob("reconstruct-*.json")).unlink()
    shutil.rmtree(play.path(f"{RESULTS}/code"))
    assert play.run().jobs == {}
    assert play.files(f"{RESULTS}/identities") == tiny_run.files(f"{RESULTS}/identities")
    assert play.files(f"{RESULTS}/code/*/rules").keys() == tiny_run.files(f"{RESULTS}/code/*/rules").keys() != set()


def results(run: Workflow) -> dict[str, bytes]:
    """All results, without the records of when and how they were made, such as a history's seconds."""
    seconds = r".*/(histories/autoencoder-main\.csv|autoencoder\.history\.csv|SHA256SUMS)"
    apart = re.compile(rf"(logs|records|damaged|work)/.*|{seconds}")
    return {path: (run.folder / RESULTS / path).read_bytes() for path in files(run.folder) if not apart.fullmatch(path)}


def test_a_damaged_result_replaces_no_good_copy(play: Workflow) -> None:
    stored, copy = play.path(f"{STORE}/tables/table2-*/table.csv"), play.path(f"{RESULTS}/tiny/tables/table2.csv")
    before = copy.read_bytes()
    stored.write_bytes(before.replace(b"4x4x2", b"4x4x9", 1))
    assert stored.read_bytes() != before
    assert f"{stored.relative_to(play.folder)}: damaged: sha256 is" in play.run().text
    assert copy.read_bytes() == before
