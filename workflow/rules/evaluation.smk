"""Metrics of sample sets (appendix B), all from the features of each image set, computed once."""

from bright_pipeline.stages.figures import FIGURES


use rule reconstruct as extract_features with:
    """Features of a range of an image set in one space; image i's depend on image i alone."""
    output:
        **outputs("extract_features"),
    log:
        "results/logs/extract_features-{name}-{digest}-{first}-{last}.log",
    message:
        "Extracting features of {params.entry}, images {wildcards.first} to {wildcards.last}"


use rule reconstruct as score_features with:
    """Distance, score, precision and recall of an image set in one feature space (Tables 2, 5, 6)."""
    output:
        **outputs("score_features"),
    log:
        "results/logs/score_features-{name}-{digest}.log",
    threads: 1
    resources:
        **priced,
        gpu=0,
        mem_mb=memory,
    message:
        "Scoring {params.entry}"


use rule reconstruct as nearest_neighbours with:
    """The training images nearest to generated ones, by LPIPS (Fig. 9)."""
    output:
        **outputs("nearest_neighbours", figure=in_report("Figures")),
    log:
        "results/logs/nearest_neighbours-{name}-{digest}.log",
    params:
        caption=FIGURES["fig09"].caption,
    message:
        "Finding nearest neighbours of {params.entry}"
