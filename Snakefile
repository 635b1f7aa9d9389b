"""BRIGHT, reproduced: the entry of the workflow, which is workflow/Snakefile, where the Snakemake catalog looks for it."""


include: "workflow/Snakefile"


# Of an included file no rule is the default target by itself.
workflow.default_target = "all"
