"""A rule for each stage, from its contract, in the order of the data flow.

All differences between the rules are fields of the contracts. A rule is described by the docstring of its command.
"""


def make_rule(stage):
    """A function, and no loop alone, since Snakemake evaluates `shell` again when a job starts."""

    rule:
        name:
            stage.name
        input:
            upstream,
        output:
            **outputs(stage),
        log:
            log_file(stage),
        localrule: stage.local
        threads: cores
        resources:
            **resources_of(stage),
        params:
            **params_of(stage),
        message:
            message_of(stage)
        shell:
            shell_of(stage)

    describe(stage.name, described(stage.command))


for stage in all_stages().values():
    make_rule(stage)
