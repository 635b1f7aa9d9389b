"""Generative models: latent diffusion on codes and other families; samples in shards (section 4).

Requires: codes of a training split and the autoencoder that decodes samples, or images.
"""


rule train_diffusion:
    """Train a diffusion model on key codes. Killed and started again, it resumes."""
    input:
        upstream,
    output:
        cached_outputs("train_diffusion"),
    log:
        "results/logs/train_diffusion-{name}-{digest}.log",
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
        " pipeline.train_diffusion {params.arguments}"


rule train_generator:
    """Train a generator of another family, on images or on codes. Killed and started again, it resumes."""
    input:
        upstream,
    output:
        cached_outputs("train_generator"),
    log:
        "results/logs/train_generator-{name}-{digest}.log",
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
        " pipeline.train_generator {params.arguments}"


rule generate:
    """Make one shard of a sample set; image i depends on the seed and i alone."""
    input:
        upstream,
    output:
        **outputs("generate"),
    log:
        "results/logs/generate-{name}-{digest}-{first}-{last}.log",
    threads: cores
    resources:
        gpu=gpus,
        mem_mb=memory,
    params:
        entry=entry,
        arguments=arguments,
    message:
        "Generating {params.entry}, images {wildcards.first} to {wildcards.last}"
    shell:
        "python -m pipeline.base.launch --gpus {resources.gpu} --memory {resources.mem_mb} --log {log:q} --"
        " pipeline.generate {params.arguments}"
