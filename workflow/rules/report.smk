"""Tables and figures from summaries, the page of the run, and the targets that people type.

Requires: summaries of the stages before, and the published numbers in config/published.
"""


rule make_table:
    """One table: measured rows beside published ones, as csv, markdown and LaTeX."""
    input:
        unpack(upstream("make_table")),
    output:
        csv=report(
            "results/store/tables/{table}-{digest}/table.csv",
            caption="../report/table.rst",
            category="Tables",
            labels={"table": "{table}"},
        ),
        markdown="results/store/tables/{table}-{digest}/table.md",
        latex="results/store/tables/{table}-{digest}/table.tex",
        parts="results/store/tables/{table}-{digest}/table.json",
    log:
        "results/logs/make_table-{table}-{digest}.log",
    params:
        settings=settings("make_table"),
        summaries=named("make_table", "summaries"),
    message:
        "Making {wildcards.table}"
    shell:
        "python -m pipeline.make_table {params.settings:q} {params.summaries} --csv {output.csv:q}"
        " --markdown {output.markdown:q} --latex {output.latex:q} --parts {output.parts:q} --log {log:q}"


rule make_figure:
    """One figure, as png and as vectors."""
    input:
        unpack(upstream("make_figure")),
    output:
        png=report(
            "results/store/figures/{figure}-{digest}/figure.png",
            caption="../report/figure.rst",
            category="Figures",
            labels={"figure": "{figure}"},
        ),
        pdf="results/store/figures/{figure}-{digest}/figure.pdf",
    log:
        "results/logs/make_figure-{figure}-{digest}.log",
    params:
        settings=settings("make_figure"),
        data=named("make_figure", "data"),
    message:
        "Drawing {wildcards.figure}"
    shell:
        "python -m pipeline.make_figure {params.settings:q} {params.data} --png {output.png:q}"
        " --pdf {output.pdf:q} --log {log:q}"


rule make_report:
    """The page of the run: one HTML file that opens without a network."""
    input:
        unpack(upstream("make_report")),
    output:
        "results/store/reports/{run}-{digest}/report.html",
    log:
        "results/logs/make_report-{run}-{digest}.log",
    params:
        settings=settings("make_report"),
        data=named("make_report", "data"),
    message:
        "Writing the page of {wildcards.run}"
    shell:
        "python -m pipeline.make_report {params.settings:q} {params.data} --output {output:q} --log {log:q}"


rule tables:
    """Every table."""
    input:
        [job.outputs for job in plan.tables.values()],


rule figures:
    """Every figure that this config has something to show for."""
    input:
        [job.outputs for job in plan.figures.values()],


rule page:
    """The page of the run."""
    input:
        plan.report.outputs,


rule headline:
    """The first autoencoder of Table 2, the first samples of Table 5 and their neighbours, no ablations."""
    input:
        plan.headline,


# table2 to table8 and text_10k, one target each.
for table in plan.tables:

    rule:
        name:
            table
        input:
            plan.tables[table].outputs,


# results/RUN always shows the tables and figures of this config, also where nothing has to be made.
if workflow.is_main_process and not workflow.dryrun:
    plan.publish()


# Called once, in the main process, where there is something to do; not in a dry run.
onstart:
    check_before_the_first_job()


onsuccess:
    show_results(plan)


onerror:
    plan.publish()
    print(
        "A job failed; its log says why (results/logs). Started again, the run goes on where it was."
    )
