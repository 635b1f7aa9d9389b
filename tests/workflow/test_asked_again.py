"""--forcerun, -R, -f, --until and files as targets work as in any Snakemake workflow, also when results exist."""

import pytest
from tiny_workflow import AFTER_DIFFUSION, Workflow

pytestmark = pytest.mark.slow

TABLE = "results/tiny/tables/table2.md"


def test_a_requested_training_starts_over_and_ends_with_the_same_bits(play: Workflow) -> None:
    path = play.path("results/store/diffusions/*/diffusion.safetensors")
    weights = str(path.relative_to(play.folder))
    until = play.run("-n", "--forcerun", "train_diffusion", "--until", "generate").jobs
    assert until == {"train_diffusion": 1, "generate": 2}
    assert play.run("-n", "-R", weights).jobs == AFTER_DIFFUSION
    assert play.run("-n", "-f", weights).jobs == {"train_diffusion": 1}
    before, started = path.read_bytes(), path.stat().st_mtime_ns
    play.run("-f", weights)
    assert path.stat().st_mtime_ns > started
    assert path.read_bytes() == before
    assert play.run().nothing_to_do


def test_a_published_file_is_a_target_like_any_other(play: Workflow) -> None:
    before = (play.folder / TABLE).read_bytes()
    assert play.run(TABLE).nothing_to_do
    assert play.run("-f", TABLE).jobs == {"publish": 1}
    play.remove("results/store/tables/table2-*/table.md", TABLE)
    assert play.run(TABLE).jobs == {"make_table": 1, "publish": 1}
    assert (play.folder / TABLE).read_bytes() == before
    play.configure(lambda values: values["tables"].update(table2=["main", "without-noise"]))
    again = {"extract_features": 1, "score_features": 1, "make_table": 1, "publish": 1}
    assert play.run("-n", TABLE).jobs == again, "the file is of an earlier config"
    assert play.run(TABLE).jobs == again
    assert len((play.folder / TABLE).read_bytes()) > len(before)
    assert play.run(TABLE).nothing_to_do


def test_lines_name_the_configs_entries_and_what_is_wrong(tiny_run: Workflow) -> None:
    missing = tiny_run.run("-n", "results/tiny/tables/table99.md", expect=1).text
    assert "results/tiny/tables/table99.md: this config has no such result" in missing
    line = "warning: `rerun-triggers: [mtime]` is not set"
    assert line in tiny_run.run("-n", "--rerun-triggers", "mtime", "params").text
    plan = tiny_run.run("-n", "--forcerun", "train_autoencoder").text
    assert line not in plan
    for words in ("Training autoencoders.main", "Training autoencoders.without-noise"):
        assert words in plan
    assert "Generating samples.main, images 000000 to 000016" in plan
