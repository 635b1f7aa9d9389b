"""Metrics of sample sets (appendix B), all from the features of each image set, computed once.

Requires: sample shards, prepared datasets, metric networks.
"""

from pipeline.stages.figures import FIGURES


rule extract_features:
    """Features of a range of an image set in one space; image i's depend on image i alone."""
    input:
        upstream,
    output:
        **outputs("extract_features"),
    log:
        "results/logs/extract_features-{name}-{digest}-{first}-{last}.log",
    threads: cores
    resources:
        gpu=gpus,
        mem_mb=memory,
    params:
        entry=entry,
        arguments=arguments,
    message:
        "Extracting features of {params.entry}, images {wildcards.first} to {wildcards.last}"
    shell:
        "python -m pipeline.base.launch --gpus {resources.gpu} --memory {resources.mem_mb} --log {log:q} --"
        " pipeline.extract_features {params.arguments}"


rule score_features:
    """Distance, score, precision and recall of an image set in one feature space (Tables 2, 5, 6)."""
    input:
        upstream,
    output:
        **outputs("score_features"),
    log:
        "results/logs/score_features-{name}-{digest}.log",
    resources:
        mem_mb=memory,
    params:
        entry=entry,
        arguments=arguments,
    message:
        "Scoring {params.entry}"
    shell:
        "python -m pipeline.base.launch --gpus 0 --memory {resources.mem_mb} --log {log:q} --"
        " pipeline.score_features {params.arguments}"


rule nearest_neighbours:
    """The training images nearest to generated ones, by LPIPS (Fig. 9)."""
    input:
        upstream,
    output:
        **outputs(
            "nearest_neighbours",
            figure=in_report("../report/caption.rst", "Figures"),
        ),
    log:
        "results/logs/nearest_neighbours-{name}-{digest}.log",
    threads: cores
    resources:
        gpu=gpus,
        mem_mb=memory,
    params:
        entry=entry,
        arguments=arguments,
        caption=FIGURES["fig09"].caption,
    message:
        "Finding nearest neighbours of {params.entry}"
    shell:
        "python -m pipeline.base.launch --gpus {resources.gpu} --memory {resources.mem_mb} --log {log:q} --"
        " pipeline.nearest_neighbours {params.arguments}"
