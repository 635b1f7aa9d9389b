"""Metrics of sample sets (appendix B): features once per image set, then everything from them.

Requires: sample shards, prepared datasets, metric networks.
"""


rule extract_features:
    """Features of a range of an image set in one space; image i's depend on image i alone."""
    input:
        unpack(upstream("extract_features")),
    output:
        "results/store/features/{images}-{digest}/features-{first}-{last}.npz",
    log:
        "results/logs/extract_features-{images}-{digest}-{first}-{last}.log",
    benchmark:
        "results/benchmarks/extract_features-{images}-{digest}-{first}-{last}.tsv"
    resources:
        gpu=1,
        mem_mb=memory("extract_features", 16000),
    params:
        settings=settings("extract_features"),
        images=options("images"),
    message:
        "Extracting features of {wildcards.images}-{wildcards.digest} {wildcards.first} to {wildcards.last}"
    shell:
        "python -m pipeline.base.launch --gpus {resources.gpu} --memory {resources.mem_mb} --log {log:q} --"
        " pipeline.extract_features {params.settings:q} --first {wildcards.first} --last {wildcards.last}"
        " {params.images} --weights {input.weights:q} --features {output:q}"


rule score_features:
    """Distance, score, precision and recall of an image set in one feature space (Tables 2, 5, 6)."""
    input:
        unpack(upstream("score_features")),
    output:
        summary="results/store/evaluations/{samples}-{digest}/summary.json",
    log:
        "results/logs/score_features-{samples}-{digest}.log",
    benchmark:
        "results/benchmarks/score_features-{samples}-{digest}.tsv"
    resources:
        mem_mb=memory("score_features", 16000),
    params:
        settings=settings("score_features"),
        features=options("generated", "reference"),
    message:
        "Scoring {wildcards.samples}-{wildcards.digest}"
    shell:
        "python -m pipeline.base.launch --gpus 0 --memory {resources.mem_mb} --log {log:q} --"
        " pipeline.score_features {params.settings:q} {params.features}"
        " --summary {output.summary:q}"


rule nearest_neighbours:
    """The training images nearest to generated ones, by LPIPS (Fig. 9)."""
    input:
        unpack(upstream("nearest_neighbours")),
    output:
        table="results/store/neighbours/{samples}-{digest}/neighbours.csv",
        summary="results/store/neighbours/{samples}-{digest}/summary.json",
        figure=report(
            "results/store/neighbours/{samples}-{digest}/neighbours.png",
            caption="../report/fig09.rst",
            category="Figures",
        ),
    log:
        "results/logs/nearest_neighbours-{samples}-{digest}.log",
    benchmark:
        "results/benchmarks/nearest_neighbours-{samples}-{digest}.tsv"
    resources:
        gpu=1,
        mem_mb=memory("nearest_neighbours", 16000),
    params:
        settings=settings("nearest_neighbours"),
        generated=options("generated"),
    message:
        "Finding nearest neighbours of {wildcards.samples}-{wildcards.digest}"
    shell:
        "python -m pipeline.base.launch --gpus {resources.gpu} --memory {resources.mem_mb} --log {log:q} --"
        " pipeline.nearest_neighbours {params.settings:q} {params.generated}"
        " --train {input.train:q} --validation {input.validation:q} --weights {input.weights:q}"
        " --table {output.table:q} --summary {output.summary:q} --figure {output.figure:q}"
