"""Tables from summaries: each measured number beside the published one.

Requires: summaries of the stages before, and the published numbers in config/published.
"""


rule make_table:
    """One table: measured rows beside published ones, as csv, markdown and LaTeX."""
    input:
        unpack(upstream("make_table")),
    output:
        csv=report(
            "results/store/tables/{table}-{digest}/table.csv",
            caption="../report/caption.rst",
            category="Tables",
            labels={"table": "{table}"},
        ),
        markdown="results/store/tables/{table}-{digest}/table.md",
        latex="results/store/tables/{table}-{digest}/table.tex",
        parts="results/store/tables/{table}-{digest}/table.json",
    log:
        "results/logs/make_table-{table}-{digest}.log",
    localrule: True
    params:
        settings=settings("make_table"),
        code=code("make_table"),
        entry=entry("make_table"),
        summaries=named("make_table"),
        caption=lambda wildcards: caption(wildcards.table),
    message:
        "Making {params.entry}"
    shell:
        "python -m pipeline.make_table {params.settings:q} --code {params.code:q} {params.summaries} --csv {output.csv:q}"
        " --markdown {output.markdown:q} --latex {output.latex:q} --parts {output.parts:q} --log {log:q}"


rule tables:
    """Every table."""
    input:
        [job.outputs for job in jobs(tables).values()],


# table2 to table8 and text_10k, and those beyond the paper's that have rows: one target each.
for name, job in jobs(tables).items():

    rule:
        name:
            name
        input:
            job.outputs,
