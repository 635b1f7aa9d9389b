"""Every kind of file of a finished run, damaged in every way: it is named before it is used, unless nothing uses it."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tiny_workflow import Workflow

from pipeline.base.paths import RESULTS, STORE
from pipeline.config.root import read_config
from pipeline.plan.arguments import arguments
from pipeline.plan.shards import Shard, ordered, shards
from pipeline.stages.common import Jobs, Output

pytestmark = pytest.mark.slow

# Files that `bright verify` does not check, and why their damage is harmless.
OF_NO_USE = {
    r"logs/.*": "lines for people",
    r"(networks/\.lock|work/(claims|checksums\.lock))": "empty: a lock",
    r"records/.*": "how jobs ran; no number of a table",
    r"work/[^/]+/(lock|tensorboard/.*|.*tfevents.*)": "no stage reads it",
    r"work/\.?fingerprints\.json.*": "times: without them raw images are read again",
}
WRITTEN_AGAIN = r"tiny/(config\.yaml|dvc\.yaml|metrics\.json|published\.json)"
PREVIEW = r"store/diffusions/.*/diffusion\.preview\.png"
CHECKSUM = r".*/SHA256SUMS"
# Files that every plan needs: a damaged one is the only error that `bright verify` reports.
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


def flipped(content: bytes, other: bytes) -> bytes:
    """One bit in the middle."""
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


DAMAGES: dict[str, Callable[[bytes, bytes], bytes]] = {
    "flip": flipped,
    "empty": lambda content, other: b"",
    "zero": lambda content, other: bytes(len(content)),  # as after a power cut
    "truncate": lambda content, other: content[: len(content) // 2],
    "swap": lambda content, other: other,
}
"""Name -> the content after this damage, of the content and that of another file."""


def damage(folder: Path, path: str, how: str) -> None:
    file = folder / RESULTS / path
    file.write_bytes(DAMAGES[how](file.read_bytes(), unlike(folder, path).read_bytes()))


@pytest.mark.parametrize("how", DAMAGES)
def test_verify_names_every_damaged_file(play: Workflow, how: str) -> None:
    run = play.with_own_networks()
    apart = "|".join([*OF_NO_USE, WRITTEN_AGAIN, FIRST])
    chosen = one_of_each(run.folder, rf"(?!{CHECKSUM})(?!{apart}).*")
    assert {path.split("/")[0] for path in chosen} == {"store", "work", "networks", "identities", "tiny"}
    check_named(run, chosen, how)


@pytest.mark.parametrize("how", ["flip", "swap", "empty"])
def test_verify_names_every_damaged_checksum(play: Workflow, how: str) -> None:
    check_named(play, one_of_each(play.folder, rf"store/{CHECKSUM}"), how)


def check_named(run: Workflow, chosen: list[str], how: str) -> None:
    others = {path: unlike(run.folder, path).read_bytes() for path in chosen}  # all of them are read before any damage
    for path, other in others.items():
        file = run.folder / RESULTS / path
        file.write_bytes(DAMAGES[how](file.read_bytes(), other))
    said = run.python("pipeline.commands.verify", "config.yaml", expect=1).text
    lines = [line for line in said.splitlines() if line.startswith("damaged: ")]
    unnamed = [path for path in chosen if not any(path in line for line in lines)]
    assert not unnamed, said
    assert "Traceback" not in said


@pytest.mark.parametrize("how", ["flip", "empty"])
def test_a_damaged_fingerprint_is_named_before_anything_is_planned(play: Workflow, how: str) -> None:
    (path,) = one_of_each(play.folder, FIRST)
    damage(play.folder, path, how)
    for said in (play.run("-n", expect=1), play.python("pipeline.commands.verify", "config.yaml", expect=1)):
        assert f"results/{path}: " in said.text
        assert "Traceback" not in said.text


@pytest.mark.parametrize("how", ["flip", "empty"])
def test_what_is_of_no_use_is_written_again_or_harms_nobody(play: Workflow, how: str) -> None:
    before = {path: (play.folder / RESULTS / path).read_bytes() for path in files(play.folder)}
    unused = [path for pattern in OF_NO_USE for path in one_of_each(play.folder, pattern)]
    for path in (*unused, *one_of_each(play.folder, WRITTEN_AGAIN)):
        if before[path]:
            damage(play.folder, path, how)
    assert play.run().nothing_to_do
    for command in ("status", "estimate", "doctor"):
        assert "Traceback" not in play.python(f"pipeline.commands.{command}", "config.yaml").text
    after = {path: (play.folder / RESULTS / path).read_bytes() for path in files(play.folder)}
    assert {path for path in before | after if before.get(path) != after.get(path)} <= set(unused)


def readers(jobs: Jobs) -> Iterator[tuple[Shard, str]]:
    """A shard and a file of the store that it reads: each stage with each kind of file."""
    seen: set[tuple[str, str]] = set()
    for job in ordered(jobs):
        for shard in shards(job)[:1]:
            for source in (one for sources in shard.inputs.values() for one in sources):
                if isinstance(source, Output) and (pair := (job.stage.name, kind(source.path))) not in seen:
                    seen.add(pair)
                    yield shard, source.path


def test_no_stage_uses_a_damaged_file(play: Workflow, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(play.folder)
    found = list(readers(Jobs(read_config(Path("config.yaml")))))
    stages = {shard.job.stage.name for shard, _ in found}
    assert {"train_diffusion", "score_features", "make_table", "make_report"} < stages
    for number, (shard, path) in enumerate(found):
        how = list(DAMAGES)[number % len(DAMAGES)]
        whole = Path(path).read_bytes()
        made = {output: Path(output).read_bytes() for output in shard.outputs}
        damage(play.folder, str(Path(path).relative_to(RESULTS)), how)
        command = ["python", "-m", shard.job.stage.command, *arguments(shard)]
        check_refused(play, command, path, made, f"{shard.job.stage.name} with {path} after {how}")
        Path(path).write_bytes(whole)


def check_refused(play: Workflow, command: list[str], path: str, made: dict[str, bytes], where: str) -> None:
    """The command ends with one line that names the file, or does not need it and writes the same outputs."""
    try:
        said = play.call(*command, expect=2)
    except AssertionError:
        said = play.call(*command)
    else:
        (line,) = [line for line in said.text.splitlines() if line.startswith("error: ")]
        assert path in line, where
    assert "Traceback" not in said.text, where
    assert {output: Path(output).read_bytes() for output in made} == made, where


def test_after_repair_and_a_run_everything_is_as_it_was(tiny_run: Workflow, play: Workflow) -> None:
    chosen = {
        "flip": r"store/codes/main-.*/codes\.safetensors",
        "zero": r"store/autoencoders/main-.*/autoencoder\.safetensors",
        "truncate": r"store/samples/main-.*/images-000016-000032\.zip",
        "swap": r"store/tables/table2-.*/table\.csv",
        "empty": r"store/complexity/.*/complexity\.json",
    }
    damaged = {how: one_of_each(play.folder, pattern)[0] for how, pattern in chosen.items()}
    others = [path for name in (r"tiny/tables/table3\.md", PREVIEW) for path in one_of_each(play.folder, name)]
    for how, path in damaged.items():
        damage(play.folder, path, how)
    for path in others:
        damage(play.folder, path, "flip")
    assert play.python("pipeline.commands.status", "config.yaml").text.startswith(
        "config.yaml: 61 of 64 jobs done, 3 damaged"
    )
    planned = play.run("-n", expect=1).text
    assert planned.count("error: ") == 3
    said = play.python("pipeline.commands.verify", "config.yaml", "--repair").text
    for path in (*damaged.values(), *others):
        assert f"damaged: results/{path}" in said
        assert (play.folder / RESULTS / "damaged" / path).exists()
    again = ("train_autoencoder", "train_diffusion", "dump_codes", "generate", "make_table", "complexity")
    assert play.run().jobs == dict.fromkeys(again, 1)
    play.python("pipeline.commands.verify", "config.yaml")
    assert results(play) == results(tiny_run)


def results(run: Workflow) -> dict[str, bytes]:
    """All results, without the records of when and how they were made."""
    apart = re.compile(r"(logs|records|damaged)/.*|work/.*(tensorboard|tfevents|lock).*|work/fingerprints.json")
    return {path: (run.folder / RESULTS / path).read_bytes() for path in files(run.folder) if not apart.fullmatch(path)}


def test_a_damaged_result_replaces_no_good_copy(play: Workflow) -> None:
    stored, copy = play.path(f"{STORE}/tables/table2-*/table.csv"), play.path(f"{RESULTS}/tiny/tables/table2.csv")
    before = copy.read_bytes()
    stored.write_bytes(before.replace(b"4x4x2", b"4x4x9", 1))
    assert stored.read_bytes() != before
    assert f"{stored.relative_to(play.folder)}: damaged: sha256 is" in play.run().text
    assert copy.read_bytes() == before
