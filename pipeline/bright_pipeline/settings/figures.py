"""The figures: what draws each, its title and its caption."""

from dataclasses import dataclass

import yaml

from bright_pipeline.base.paths import PACKAGE


@dataclass(frozen=True)
class Figure:
    """A figure: its drawing function (module:function in `bright_pipeline.figures`), title and caption."""

    draw: str
    title: str
    caption: str

    @property
    def module(self) -> str:
        """The module whose code can change the figure."""
        return f"bright_pipeline.figures.{self.draw.partition(':')[0]}"


CAPTIONS = PACKAGE / "figures" / "captions.yaml"
_ENTRIES: dict[str, dict[str, str]] = yaml.safe_load(CAPTIONS.read_text(encoding="utf-8"))
FIGURES = {name: Figure(**entry) for name, entry in sorted(_ENTRIES.items())}
