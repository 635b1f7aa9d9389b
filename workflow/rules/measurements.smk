"""Measurements of autoencoders: reconstruct, count, dump key codes. Stages on one GPU inherit from reconstruct."""


rule reconstruct:
    """Reconstruct the validation split and measure it image by image (Tables 2, 4, 7, 8)."""
    input:
        upstream,
    output:
        **outputs("reconstruct", picture=in_report("Reconstructions", "../report/pairs.rst")),
    log:
        "results/logs/reconstruct-{name}-{digest}.log",
    threads: cores
    resources:
        **priced,
        gpu=gpus,
        mem_mb=memory,
    params:
        entry=entry,
        command=command,
    message:
        "Reconstructing with {params.entry}"
    shell:
        start(
            "bright_pipeline.engine.launch --gpus {resources.gpu} --memory {resources.mem_mb} --log {log:q} --"
            " {params.command}"
        )


use rule take_snapshot as complexity with:
    """Count parameters and multiply-accumulates of a table's models from the config alone (Tables 3, 7, 8)."""
    output:
        **outputs("complexity"),
    log:
        "results/logs/complexity-{name}-{digest}.log",
    localrule: True
    message:
        "Counting the models of {params.entry}"


use rule reconstruct as dump_codes with:
    """Encode the training split, and count the hits of table entries (section 3.4, Fig. 5b)."""
    output:
        **outputs("dump_codes"),
    log:
        "results/logs/dump_codes-{name}-{digest}.log",
    message:
        "Dumping key codes of {params.entry}"


use rule reconstruct as explore_codes with:
    """Interpolate in key-code space; show the effect of each resolution and each group (beyond the paper)."""
    output:
        **outputs("explore_codes"),
    log:
        "results/logs/explore_codes-{name}-{digest}.log",
    message:
        "Exploring key codes of {params.entry}"


use rule reconstruct as measure_codes with:
    """Measure codes (section 3.4): usage of entries, range, variance, reconstruction under noise, bytes."""
    output:
        **outputs("measure_codes"),
    log:
        "results/logs/measure_codes-{name}-{digest}.log",
    message:
        "Measuring codes of {params.entry}"


use rule reconstruct as measure_storage with:
    """Measure the bits of codes, image files of equal quality, new images, exchanged parts (beyond the paper)."""
    output:
        **outputs("measure_storage"),
    log:
        "results/logs/measure_storage-{name}-{digest}.log",
    message:
        "Measuring the storage of {params.entry}"


use rule reconstruct as measure_decoding with:
    """Decoded images per second of several autoencoders in turns; all cores, so that no job runs in parallel."""
    output:
        **outputs("measure_decoding"),
    log:
        "results/logs/measure_decoding-{name}-{digest}.log",
    threads: all_cores
    message:
        "Timing decoders in turns"
