"""Autoencoders: train, reconstruct, count, dump key codes (section 3).

Requires: prepared datasets and the networks of the perceptual loss and of LPIPS.
"""


rule train_autoencoder:
    """Train one autoencoder (section 3.3). Killed and started again, it resumes."""
    input:
        upstream,
    output:
        cached_outputs("train_autoencoder"),
    log:
        "results/logs/train_autoencoder-{name}-{digest}.log",
    cache: True
    threads: cores
    resources:
        **across_nodes,
        gpu=gpus,
        mem_mb=memory,
    params:
        entry=entry,
        arguments=arguments,
        processes=processes,
    message:
        "Training {params.entry}"
    shell:
        "python -m pipeline.base.launch {params.processes} --memory {resources.mem_mb} --log {log:q} --"
        " pipeline.train_autoencoder {params.arguments}"


rule import_weights:
    """Import a checkpoint of another program instead of a training: an autoencoder or a generative model."""
    output:
        **outputs("import_weights"),
    log:
        "results/logs/import_weights-{name}-{digest}-{model}.log",
    resources:
        mem_mb=memory,
    params:
        entry=entry,
        arguments=arguments,
    message:
        "Importing the weights of {params.entry}"
    shell:
        "python -m pipeline.import_weights {params.arguments} --log {log:q}"


rule take_snapshot:
    """Take the weights of an unfinished training, instead of a training that ends there."""
    input:
        upstream,
    output:
        **outputs("take_snapshot"),
    log:
        "results/logs/take_snapshot-{name}-{digest}-{model}.log",
    localrule: True
    params:
        entry=entry,
        arguments=arguments,
    message:
        "Taking the snapshot {params.entry}"
    shell:
        "python -m pipeline.take_snapshot {params.arguments} --log {log:q}"


rule reconstruct:
    """Reconstruct the validation split and measure it image by image (Tables 2, 4, 7, 8)."""
    input:
        upstream,
    output:
        **outputs(
            "reconstruct",
            picture=in_report("../report/pairs.rst", "Reconstructions"),
        ),
    log:
        "results/logs/reconstruct-{name}-{digest}.log",
    threads: cores
    resources:
        gpu=gpus,
        mem_mb=memory,
    params:
        entry=entry,
        arguments=arguments,
    message:
        "Reconstructing with {params.entry}"
    shell:
        "python -m pipeline.base.launch --gpus {resources.gpu} --memory {resources.mem_mb} --log {log:q} --"
        " pipeline.reconstruct {params.arguments}"


rule complexity:
    """Count parameters and multiply-accumulates of a table's models from the config alone (Tables 3, 7, 8)."""
    output:
        **outputs("complexity"),
    log:
        "results/logs/complexity-{name}-{digest}.log",
    cache: True
    localrule: True
    params:
        entry=entry,
        arguments=arguments,
    message:
        "Counting the models of {params.entry}"
    shell:
        "python -m pipeline.complexity {params.arguments} --log {log:q}"


rule dump_codes:
    """Encode the training split, and count the hits of table entries (section 3.4, Fig. 5b)."""
    input:
        upstream,
    output:
        **outputs("dump_codes"),
    log:
        "results/logs/dump_codes-{name}-{digest}.log",
    threads: cores
    resources:
        gpu=gpus,
        mem_mb=memory,
    params:
        entry=entry,
        arguments=arguments,
    message:
        "Dumping key codes of {params.entry}"
    shell:
        "python -m pipeline.base.launch --gpus {resources.gpu} --memory {resources.mem_mb} --log {log:q} --"
        " pipeline.dump_codes {params.arguments}"


rule explore_codes:
    """Interpolate in key-code space; show the effect of each resolution and each group (beyond the paper)."""
    input:
        upstream,
    output:
        **outputs("explore_codes"),
    log:
        "results/logs/explore_codes-{name}-{digest}.log",
    threads: cores
    resources:
        gpu=gpus,
        mem_mb=memory,
    params:
        entry=entry,
        arguments=arguments,
    message:
        "Exploring key codes of {params.entry}"
    shell:
        "python -m pipeline.base.launch --gpus {resources.gpu} --memory {resources.mem_mb} --log {log:q} --"
        " pipeline.explore_codes {params.arguments}"


rule measure_codes:
    """Measure codes (section 3.4): usage of entries, range, variance, reconstruction under noise, bytes."""
    input:
        upstream,
    output:
        **outputs("measure_codes"),
    log:
        "results/logs/measure_codes-{name}-{digest}.log",
    threads: cores
    resources:
        gpu=gpus,
        mem_mb=memory,
    params:
        entry=entry,
        arguments=arguments,
    message:
        "Measuring codes of {params.entry}"
    shell:
        "python -m pipeline.base.launch --gpus {resources.gpu} --memory {resources.mem_mb} --log {log:q} --"
        " pipeline.measure_codes {params.arguments}"


rule measure_decoding:
    """Decoded images per second of several autoencoders in turns; all cores, so that no job runs in parallel."""
    output:
        **outputs("measure_decoding"),
    log:
        "results/logs/measure_decoding-{name}-{digest}.log",
    threads: all_cores
    resources:
        gpu=gpus,
        mem_mb=memory,
    params:
        entry=entry,
        arguments=arguments,
    message:
        "Timing decoders in turns"
    shell:
        "python -m pipeline.base.launch --gpus {resources.gpu} --memory {resources.mem_mb} --log {log:q} --"
        " pipeline.measure_decoding {params.arguments}"
