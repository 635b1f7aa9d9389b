"""Figures from images, histories and summaries."""

from bright_pipeline.stages.figures import FIGURES


use rule take_snapshot as make_figure with:
    """One figure, as png and as vectors."""
    output:
        **outputs("make_figure", png=in_report("Figures", figure="{name}")),
    log:
        "results/logs/make_figure-{name}-{digest}.log",
    localrule: True
    params:
        caption=lambda wildcards: FIGURES[wildcards.name].caption,
    message:
        "Drawing {params.entry}"
