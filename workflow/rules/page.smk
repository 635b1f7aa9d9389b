"""The page of a run, and the readable copies in results/RUN."""

from bright_pipeline.engine.run import wanted
from bright_pipeline.stages.page import page


use rule take_snapshot as make_report with:
    """The page of the run: one HTML file that opens without a network."""
    output:
        **outputs("make_report"),
    log:
        "results/logs/make_report-{name}-{digest}.log",
    localrule: True
    message:
        "Writing the page of {wildcards.name}"


rule publish:
    """Copy a result of the store to its readable name in results/RUN."""
    input:
        published,
    output:
        f"results/{jobs.config.run}/{{place}}",
    log:
        "results/logs/publish-{place}.log",
    localrule: True
    message:
        "Publishing {wildcards.place}"
    shell:
        "cp {input:q} {output:q} 2> {log:q}"


rule page:
    """The page of the run."""
    input:
        jobs(page).outputs,


rule headline:
    """The first autoencoder of Table 2, the first samples of Table 5 and their neighbours, no ablations."""
    input:
        [output.path for output in wanted(jobs, ["headline"])],
