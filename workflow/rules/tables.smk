"""Tables from summaries: each measured number next to the published one."""

from bright_pipeline.stages.tables import STUDY_CAPTION, caption


use rule take_snapshot as make_table with:
    """One table: measured rows next to published ones, as csv, markdown and LaTeX."""
    output:
        **outputs("make_table", csv=in_report("Tables", table="{name}")),
    log:
        "results/logs/make_table-{name}-{digest}.log",
    localrule: True
    params:
        caption=lambda wildcards: caption(wildcards.name),
    message:
        "Making {params.entry}"


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
