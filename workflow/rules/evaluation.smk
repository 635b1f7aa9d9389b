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
    threads: cores("extract_features")
    resources:
        gpu=gpus("extract_features"),
        mem_mb=memory("extract_features"),
    params:
        settings=settings("extract_features"),
        code=code("extract_features"),
        entry=entry("extract_features"),
        images=options("images"),
        starts_at=starts_at,
    message:
        "Extracting features of {params.entry}, images {wildcards.first} to {wildcards.last}"
    shell:
        "python -m pipeline.base.launch --gpus {resources.gpu} --memory {resources.mem_mb} --log {log:q} --"
        " pipeline.extract_features {params.settings:q} --code {params.code:q} --first {wildcards.first} --last {wildcards.last}"
        " {params.images} --starts-at {params.starts_at} --weights {input.weights:q} --features {output:q}"


rule score_features:
    """Distance, score, precision and recall of an image set in one feature space (Tables 2, 5, 6)."""
    input:
        unpack(upstream("score_features")),
    output:
        summary="results/store/evaluations/{samples}-{digest}/summary.json",
    log:
        "results/logs/score_features-{samples}-{digest}.log",
    resources:
        mem_mb=memory("score_features"),
    params:
        settings=settings("score_features"),
        code=code("score_features"),
        entry=entry("score_features"),
        features=options("generated", "reference"),
    message:
        "Scoring {params.entry}"
    shell:
        "python -m pipeline.base.launch --gpus 0 --memory {resources.mem_mb} --log {log:q} --"
        " pipeline.score_features {params.settings:q} --code {params.code:q} {params.features}"
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
            caption="../report/caption.rst",
            category="Figures",
        ),
    log:
        "results/logs/nearest_neighbours-{samples}-{digest}.log",
    threads: cores("nearest_neighbours")
    resources:
        gpu=gpus("nearest_neighbours"),
        mem_mb=memory("nearest_neighbours"),
    params:
        settings=settings("nearest_neighbours"),
        code=code("nearest_neighbours"),
        entry=entry("nearest_neighbours"),
        generated=options("generated"),
        caption=FIGURES["fig09"].caption,
    message:
        "Finding nearest neighbours of {params.entry}"
    shell:
        "python -m pipeline.base.launch --gpus {resources.gpu} --memory {resources.mem_mb} --log {log:q} --"
        " pipeline.nearest_neighbours {params.settings:q} --code {params.code:q} {params.generated}"
        " --train {input.train:q} --validation {input.validation:q} --weights {input.weights:q}"
        " --table {output.table:q} --summary {output.summary:q} --figure {output.figure:q}"
