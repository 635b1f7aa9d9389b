"""Figures from images, histories and summaries.

Requires: images, histories and summaries of the stages before.
"""

from pipeline.stages.figures import FIGURES, figures


rule make_figure:
    """One figure, as png and as vectors."""
    input:
        upstream,
    output:
        **outputs(
            "make_figure",
            png=in_report("../report/caption.rst", "Figures", figure="{name}"),
        ),
    log:
        "results/logs/make_figure-{name}-{digest}.log",
    localrule: True
    params:
        entry=entry,
        arguments=arguments,
        caption=lambda wildcards: FIGURES[wildcards.name].caption,
    message:
        "Drawing {params.entry}"
    shell:
        "python -m pipeline.make_figure {params.arguments} --log {log:q}"


rule figures:
    """Every figure for which this config has results."""
    input:
        [job.outputs for job in jobs(figures).values()],
