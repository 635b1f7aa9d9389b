"""Studies: the same search for training settings for several autoencoders.

Requires: per-image metrics of their trials, which are trained and reconstruct like any autoencoder.
"""


rule make_study:
    """The record of a study: every trial's loss, the best of each autoencoder first."""
    input:
        unpack(upstream("make_study")),
    output:
        csv=report(
            "results/store/studies/{study}-{digest}/table.csv",
            caption="../report/caption.rst",
            category="Studies",
            labels={"study": "{study}"},
        ),
        markdown="results/store/studies/{study}-{digest}/table.md",
        latex="results/store/studies/{study}-{digest}/table.tex",
        parts="results/store/studies/{study}-{digest}/table.json",
    log:
        "results/logs/make_study-{study}-{digest}.log",
    localrule: True
    params:
        settings=settings("make_study"),
        code=code("make_study"),
        entry=entry("make_study"),
        trials=named("make_study"),
        caption=CAPTIONS["tables"]["study"],
    message:
        "Comparing the trials of {params.entry}"
    shell:
        "python -m pipeline.make_study {params.settings:q} --code {params.code:q} {params.trials} --csv {output.csv:q}"
        " --markdown {output.markdown:q} --latex {output.latex:q} --parts {output.parts:q} --log {log:q}"
