"""The registry of model families, and what the config says of them."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from bright_pipeline import families
from bright_pipeline.base.errors import InputError
from bright_pipeline.engine.code import Code
from bright_pipeline.models.autoencoder import ImageAutoencoder
from bright_pipeline.models.generator import Generator
from finished_plan import with_key


def test_a_family_names_a_network_its_counts_and_its_task() -> None:
    for name in families.AUTOENCODERS:
        family = families.autoencoder_family(name)
        assert issubclass(families.load(family.model), ImageAutoencoder) and callable(families.load(family.counts))
    for name in families.GENERATORS:
        family = families.generator_family(name)
        assert issubclass(families.load(family.model), Generator)
        assert {"start", "step", "preview"} <= set(dir(families.load(family.task)))


def test_a_section_given_in_part_keeps_the_defaults_of_its_family() -> None:
    values = {"dataset": "any", "code_size": "8x8x4", "losses": {"l1_weight": 2, "adversarial": {"penalty_weight": 1}}}
    for family in families.AUTOENCODERS:
        default = families.parse_autoencoder({"dataset": "any", "code_size": "8x8x4", "family": family}, "here").losses
        losses = families.parse_autoencoder(values | {"family": family}, "here").losses
        adversarial = default.adversarial.model_copy(update={"penalty_weight": 1})
        assert losses == default.model_copy(update={"l1_weight": 2, "adversarial": adversarial})
    with pytest.raises(InputError, match=r"losses\.adversarial\.weight: Input should be greater than or equal to 0"):
        families.parse_autoencoder(values | {"family": "kl", "losses": {"adversarial": {"weight": -1}}}, "here")


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Writes a module that can be imported, and returns its name."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "__init__.py").touch()

    def write(name: str, text: str) -> str:
        (tmp_path / "mine" / f"{name}.py").write_text(text)
        return f"mine.{name}"

    yield write
    for name in [name for name in sys.modules if name.split(".")[0] == "mine"]:
        del sys.modules[name]
    families.find_family.cache_clear()


def test_a_module_that_is_no_family_is_one_line(module) -> None:
    module("empty", "")
    for name in ("brihgt", "nowhere.family", "mine.empty.inner", "..mine", "mine..empty", "mine.", "mine.a b", "."):
        with pytest.raises(InputError, match=r"^[^\n]*no such family: [^\n]*use bright[^\n]*$"):
            families.find_family(name)
    with pytest.raises(InputError, match="must define a constant FAMILY; it has none"):
        families.find_family("mine.empty")
    with pytest.raises(InputError, match="must be an AutoencoderFamily or a GeneratorFamily, not 3"):
        families.find_family(module("three", "FAMILY = 3"))
    with pytest.raises(ModuleNotFoundError, match="no_such_package"):
        families.find_family(module("broken", "import no_such_package\nFAMILY = 3"))


NESTED = """from pydantic import Field
from bright_pipeline.families import AutoencoderFamily
from bright_pipeline.settings.autoencoder import Autoencoder

class Settings(Autoencoder):
    family: str = Field("outer.inner.own", description="The model family.")

FAMILY = AutoencoderFamily("Own", Settings, "outer.inner.network:Own", "bright_pipeline.models.complexity:counts")
"""


def test_a_family_may_lie_beside_the_config_in_folders_that_are_no_packages(own_folder, monkeypatch) -> None:
    Path("outer", "inner").mkdir(parents=True)
    Path("outer", "inner", "own.py").write_text(NESTED)
    Path("outer", "inner", "network.py").write_text("class Own: pass\n")
    Path("config.yaml").write_text(yaml.safe_dump(with_key("autoencoders.main.family", "outer.inner.own")))
    done = subprocess.run([Path(sys.executable).parent / "bright", "config", "config.yaml"], capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")
    monkeypatch.syspath_prepend("")
    names = {module.name for module in Code().closure(["outer.inner.own"])}
    assert {name for name in names if name.startswith("outer")} == {"outer.inner.own"}


def test_an_entry_needs_a_family_of_its_section_which_is_bright_by_default(tiny_autoencoder) -> None:
    with pytest.raises(InputError, match="under `generators`"):
        families.parse_autoencoder({"family": "ddpm", "dataset": "any"}, "here")
    with pytest.raises(InputError, match="under `autoencoders`"):
        families.parse_generator({"family": "bright", "dataset": "any"}, "here")
    assert families.parse_autoencoder(tiny_autoencoder(), "here").family == "bright"
    with pytest.raises(InputError, match="the name of a model family is needed, not None"):
        families.parse_generator({"dataset": "any"}, "here")
