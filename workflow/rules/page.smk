"""The page of a run, and the readable copies in results/RUN."""


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
        f"results/{jobs.config.run}/{{file}}",
    log:
        "results/logs/publish-{file}.log",
    localrule: True
    message:
        "Publishing {wildcards.file}"
    shell:
        "cp {input:q} {output:q} 2> {log:q}"
