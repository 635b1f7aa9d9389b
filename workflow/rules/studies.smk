"""Studies: the same search of training settings for several autoencoders."""

from pipeline.stages.studies import STUDY_CAPTION


use rule take_snapshot as make_study with:
    """The table of a study: the loss of each trial, the best of each autoencoder first."""
    output:
        **outputs("make_study", csv=in_report("Studies", study="{name}")),
    log:
        "results/logs/make_study-{name}-{digest}.log",
    localrule: True
    params:
        caption=STUDY_CAPTION,
    message:
        "Comparing the trials of {params.entry}"
