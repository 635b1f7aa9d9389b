"""Models that generate: latent diffusion on codes and other families; samples in shards (section 4).

Requires: codes of a training split and the autoencoder that decodes samples, or images.
"""


rule train_diffusion:
    """Train a diffusion model on key codes. Killed and started again, it goes on."""
    input:
        unpack(upstream("train_diffusion")),
    output:
        multiext(
            "results/store/diffusions/{diffusion}-{digest}/diffusion",
            weights=".safetensors",
            history=".history.csv",
            preview=".preview.png",
        ),
    log:
        "results/logs/train_diffusion-{diffusion}-{digest}.log",
    cache: True
    threads: cores("train_diffusion")
    resources:
        **across_nodes("train_diffusion"),
        gpu=gpus("train_diffusion"),
        mem_mb=memory("train_diffusion"),
    params:
        settings=settings("train_diffusion"),
        code=code("train_diffusion"),
        entry=entry("train_diffusion"),
        digest=digest,
        work=work("train_diffusion"),
        processes=processes,
        sources=options("initial"),
    message:
        "Training {params.entry}"
    shell:
        "python -m pipeline.base.launch {params.processes} --memory {resources.mem_mb} --log {log:q} --"
        " pipeline.train_diffusion {params.settings:q} --code {params.code:q} --codes {input.codes:q}"
        " --autoencoder {input.autoencoder:q} {params.sources} --weights {output.weights:q} --history {output.history:q}"
        " --preview {output.preview:q} --work {params.work:q}"


rule train_generator:
    """Train a generator of another family, on images or on codes. Killed and started again, it goes on."""
    input:
        unpack(upstream("train_generator")),
    output:
        multiext(
            "results/store/generators/{generator}-{digest}/generator",
            weights=".safetensors",
            history=".history.csv",
            preview=".preview.png",
        ),
    log:
        "results/logs/train_generator-{generator}-{digest}.log",
    cache: True
    threads: cores("train_generator")
    resources:
        **across_nodes("train_generator"),
        gpu=gpus("train_generator"),
        mem_mb=memory("train_generator"),
    params:
        settings=settings("train_generator"),
        code=code("train_generator"),
        entry=entry("train_generator"),
        digest=digest,
        work=work("train_generator"),
        processes=processes,
        sources=options("images", "codes", "autoencoder"),
    message:
        "Training {params.entry}"
    shell:
        "python -m pipeline.base.launch {params.processes} --memory {resources.mem_mb} --log {log:q} --"
        " pipeline.train_generator {params.settings:q} --code {params.code:q} {params.sources}"
        " --weights {output.weights:q} --history {output.history:q} --preview {output.preview:q}"
        " --work {params.work:q}"


rule generate:
    """Make one shard of a sample set; image i depends on the seed and i alone."""
    input:
        unpack(upstream("generate")),
    output:
        "results/store/samples/{samples}-{digest}/images-{first}-{last}.zip",
    log:
        "results/logs/generate-{samples}-{digest}-{first}-{last}.log",
    threads: cores("generate")
    resources:
        gpu=gpus("generate"),
        mem_mb=memory("generate"),
    params:
        settings=settings("generate"),
        code=code("generate"),
        entry=entry("generate"),
        sources=options("autoencoder", "diffusion", "generator", "codes", "train"),
    message:
        "Generating {params.entry}, images {wildcards.first} to {wildcards.last}"
    shell:
        "python -m pipeline.base.launch --gpus {resources.gpu} --memory {resources.mem_mb} --log {log:q} --"
        " pipeline.generate {params.settings:q} --code {params.code:q} --first {wildcards.first} --last {wildcards.last}"
        " --images {output:q} {params.sources}"
