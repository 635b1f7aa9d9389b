"""Captions of figures: the ones of Snakemake's own report, workflow/report, are the only ones."""

from pathlib import Path
from types import SimpleNamespace

from jinja2 import Template

CAPTIONS = Path(__file__).parents[2] / "workflow" / "report"
TITLES = {
    "curves_autoencoders": "Training of the autoencoders",
    "curves_diffusion": "Training of the diffusion models",
    "interpolation": "Between two images",
    "resolutions": "What each resolution adds",
    "groups": "What each group of tables tells",
    "noise_robustness": "Reconstruction under noise on the codes",
    "code_range": "Range of the codes",
    "table_size": "Size of the hash tables against quality",
}


def figure_caption(drawn_by: str) -> str:
    """What stands below a figure; `drawn_by` is the figure's name for the figure stage."""
    text = (CAPTIONS / "figure.rst").read_text(encoding="utf-8")
    told = SimpleNamespace(wildcards=SimpleNamespace(figure=drawn_by))
    return " ".join(Template(text).render(snakemake=told).split())


def figure_title(name: str) -> str:
    """`fig05b` to `Figure 5b`; names that are no numbers in words."""
    number = name.removeprefix("fig").lstrip("0")
    if name.startswith("fig") and number[:1].isdigit():
        return f"Figure {number}"
    return TITLES.get(name, name.replace("_", " ").capitalize())
