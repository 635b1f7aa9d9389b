"""--forcerun, -R, -f, --until and files as targets do what they say, also where everything is there."""

from pathlib import Path

import pytest
from tiny_workflow import AFTER_DIFFUSION, Workflow

pytestmark = pytest.mark.slow


def weights(workflow: Workflow) -> str:
    """The diffusion model's weights, as one would type the path."""
    (folder,) = workflow.folders("diffusions")
    return str((folder / "diffusion.safetensors").relative_to(workflow.folder))


def test_a_rule_asked_for_again_makes_its_results_and_what_stands_on_them(play: Workflow) -> None:
    assert play.run("-n", "--forcerun", "train_diffusion").jobs == AFTER_DIFFUSION
    assert play.run("-n", "--forcerun", "train_diffusion", "--until", "generate").jobs == {
        "train_diffusion": 1,
        "generate": 2,
    }


def test_a_file_asked_for_again_is_made_with_what_stands_on_it(play: Workflow) -> None:
    assert play.run("-n", "-R", weights(play)).jobs == AFTER_DIFFUSION
    assert play.run("-n", "-f", weights(play)).jobs == {"train_diffusion": 1}


def test_a_training_asked_for_again_begins_again_and_ends_with_the_same_bits(play: Workflow) -> None:
    path = play.folder / weights(play)
    before, started = path.read_bytes(), path.stat().st_mtime_ns
    play.run("-f", weights(play))
    assert path.stat().st_mtime_ns > started
    assert path.read_bytes() == before
    assert play.run().nothing_to_do


def test_a_published_file_is_a_target_like_any_other(play: Workflow) -> None:
    table = Path("results/tiny/tables/table2.md")
    before = (play.folder / table).read_bytes()
    assert play.run(str(table)).nothing_to_do
    (play.folder / table).unlink()
    assert play.run(str(table)).jobs == {"publish": 1}
    assert (play.folder / table).read_bytes() == before
    assert play.run("-f", str(table)).jobs == {"publish": 1}
    for folder in play.folders("tables"):
        if folder.name.startswith("table2-"):
            (folder / "table.md").unlink()
    (play.folder / table).unlink()
    assert play.run(str(table)).jobs == {"make_table": 1, "publish": 1}
    assert (play.folder / table).read_bytes() == before


def test_a_published_file_of_an_earlier_config_is_made_anew(play: Workflow) -> None:
    table = Path("results/tiny/tables/table2.md")
    before = (play.folder / table).read_text()
    play.configure(lambda values: values["tables"].update(table2=["main", "without-noise"]))
    anew = {"extract_features": 1, "score_features": 1, "make_table": 1, "publish": 1}
    assert play.run("-n", str(table)).jobs == anew
    assert play.run(str(table)).jobs == anew
    assert len((play.folder / table).read_text()) > len(before)
    assert play.run(str(table)).nothing_to_do


def test_what_is_no_result_of_this_config_is_named(play: Workflow) -> None:
    said = play.run("results/tiny/tables/table99.md", expect=1).text
    assert "results/tiny/tables/table99.md: this config has no such result" in said


def test_the_whole_graph_of_a_finished_run_can_be_seen(play: Workflow) -> None:
    whole = play.run("--rulegraph", "--forceall").text
    for rule in ("prepare_dataset", "train_autoencoder", "train_diffusion", "score_features", "make_report"):
        assert f'label = "{rule}"' in whole


def test_a_profile_without_the_rerun_rule_is_warned_of(play: Workflow) -> None:
    line = "warning: `rerun-triggers: [mtime]` is not set"
    assert line in play.run("-n", "--rerun-triggers", "mtime", "params").text
    assert line not in play.run("-n").text


def test_messages_have_the_configs_names(play: Workflow) -> None:
    said = play.run("-n", "--forcerun", "train_autoencoder").text
    assert "Training autoencoders.main" in said
    assert "Training autoencoders.without-noise" in said
    assert "Generating samples.main, images 000000 to 000016" in said
