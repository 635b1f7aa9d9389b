"""BRIGHT, reproduced: the entry of the workflow, which is workflow/Snakefile, where the Snakemake catalog looks for it."""


include: "workflow/Snakefile"


set_default_target("all")
