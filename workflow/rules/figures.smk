"""Figures from images, histories and summaries.

Requires: images, histories and summaries of the stages before.
"""


rule make_figure:
    """One figure, as png and as vectors."""
    input:
        unpack(upstream("make_figure")),
    output:
        png=report(
            "results/store/figures/{figure}-{digest}/figure.png",
            caption="../report/caption.rst",
            category="Figures",
            labels={"figure": "{figure}"},
        ),
        pdf="results/store/figures/{figure}-{digest}/figure.pdf",
    log:
        "results/logs/make_figure-{figure}-{digest}.log",
    localrule: True
    params:
        settings=settings("make_figure"),
        code=code("make_figure"),
        entry=entry("make_figure"),
        data=named("make_figure"),
        caption=lambda wildcards: FIGURES[wildcards.figure].caption,
    message:
        "Drawing {params.entry}"
    shell:
        "python -m pipeline.make_figure {params.settings:q} --code {params.code:q} {params.data} --png {output.png:q}"
        " --pdf {output.pdf:q} --log {log:q}"


rule figures:
    """Every figure that this config has something to show for."""
    input:
        [job.outputs for job in jobs(figures).values()],
