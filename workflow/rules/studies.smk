"""Studies: the same search of training settings for several autoencoders.

Requires: per-image metrics of their trials, which are trained and reconstruct like any autoencoder.
"""

from pipeline.stages.studies import STUDY_CAPTION


rule make_study:
    """The table of a study: the loss of each trial, the best of each autoencoder first."""
    input:
        upstream,
    output:
        **outputs(
            "make_study",
            csv=in_report("../report/caption.rst", "Studies", study="{name}"),
        ),
    log:
        "results/logs/make_study-{name}-{digest}.log",
    localrule: True
    params:
        entry=entry,
        arguments=arguments,
        caption=STUDY_CAPTION,
    message:
        "Comparing the trials of {params.entry}"
    shell:
        "python -m pipeline.make_study {params.arguments} --log {log:q}"
