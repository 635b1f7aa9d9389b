"""Autoencoders: train, reconstruct, count, dump key codes (section 3).

Requires: prepared datasets and the networks of the perceptual loss and of LPIPS.
"""


rule train_autoencoder:
    """Train one autoencoder (section 3.3). Killed and started again, it goes on."""
    input:
        unpack(upstream("train_autoencoder")),
    output:
        multiext(
            "results/store/autoencoders/{autoencoder}-{digest}/autoencoder",
            weights=".safetensors",
            history=".history.csv",
            preview=".preview.png",
        ),
    log:
        "results/logs/train_autoencoder-{autoencoder}-{digest}.log",
    cache: True
    threads: cores("train_autoencoder")
    resources:
        **across_nodes("train_autoencoder"),
        gpu=gpus("train_autoencoder"),
        mem_mb=memory("train_autoencoder"),
    params:
        settings=settings("train_autoencoder"),
        code=code("train_autoencoder"),
        entry=entry("train_autoencoder"),
        digest=digest,
        work=work("train_autoencoder"),
        processes=processes,
        networks=options("perceptual", "validation", "lpips_alex", "initial"),
    message:
        "Training {params.entry}"
    shell:
        "python -m pipeline.base.launch {params.processes} --memory {resources.mem_mb} --log {log:q} --"
        " pipeline.train_autoencoder {params.settings:q} --code {params.code:q} --images {input.images:q}"
        " {params.networks} --weights {output.weights:q} --history {output.history:q}"
        " --preview {output.preview:q} --work {params.work:q}"


rule import_weights:
    """Take over a checkpoint of another program in place of a training: an autoencoder or what generates."""
    output:
        "results/store/imports/{imported}-{digest}/{model}.safetensors",
    log:
        "results/logs/import_weights-{imported}-{digest}-{model}.log",
    resources:
        mem_mb=memory("import_weights"),
    params:
        settings=settings("import_weights"),
        code=code("import_weights"),
        entry=entry("import_weights"),
    message:
        "Importing the weights of {params.entry}"
    shell:
        "python -m pipeline.import_weights {params.settings:q} --code {params.code:q} --weights {output:q} --log {log:q}"


rule take_snapshot:
    """Take the weights that a training had on its way, in place of a training that ends there."""
    input:
        unpack(upstream("take_snapshot")),
    output:
        "results/store/snapshots/{snapshot}-{digest}/{model}.safetensors",
    log:
        "results/logs/take_snapshot-{snapshot}-{digest}-{model}.log",
    localrule: True
    params:
        settings=settings("take_snapshot"),
        code=code("take_snapshot"),
        entry=entry("take_snapshot"),
    message:
        "Taking the snapshot {params.entry}"
    shell:
        "python -m pipeline.take_snapshot {params.settings:q} --code {params.code:q} --training {input.training:q}"
        " --weights {output:q} --log {log:q}"


rule reconstruct:
    """Reconstruct the validation split and measure it image by image (Tables 2, 4, 7, 8)."""
    input:
        unpack(upstream("reconstruct")),
    output:
        reconstructions="results/store/reconstructions/{autoencoder}-{digest}/reconstructions.zip",
        table="results/store/reconstructions/{autoencoder}-{digest}/per_image.csv",
        summary="results/store/reconstructions/{autoencoder}-{digest}/summary.json",
        picture=report(
            "results/store/reconstructions/{autoencoder}-{digest}/pairs.png",
            caption="../report/pairs.rst",
            category="Reconstructions",
        ),
    log:
        "results/logs/reconstruct-{autoencoder}-{digest}.log",
    threads: cores("reconstruct")
    resources:
        gpu=gpus("reconstruct"),
        mem_mb=memory("reconstruct"),
    params:
        settings=settings("reconstruct"),
        code=code("reconstruct"),
        entry=entry("reconstruct"),
    message:
        "Reconstructing with {params.entry}"
    shell:
        "python -m pipeline.base.launch --gpus {resources.gpu} --memory {resources.mem_mb} --log {log:q} --"
        " pipeline.reconstruct {params.settings:q} --code {params.code:q} --images {input.images:q}"
        " --autoencoder {input.autoencoder:q} --lpips-alex {input.lpips_alex:q}"
        " --lpips-vgg {input.lpips_vgg:q} --reconstructions {output.reconstructions:q}"
        " --table {output.table:q} --summary {output.summary:q} --picture {output.picture:q}"


rule complexity:
    """Count parameters and multiply-accumulates of a table's models from the config alone (Tables 3, 7, 8)."""
    output:
        "results/store/complexity/{table}-{digest}/complexity.json",
    log:
        "results/logs/complexity-{table}-{digest}.log",
    cache: True
    localrule: True
    params:
        settings=settings("complexity"),
        code=code("complexity"),
        entry=entry("complexity"),
        digest=digest,
    message:
        "Counting the models of {params.entry}"
    shell:
        "python -m pipeline.complexity {params.settings:q} --code {params.code:q} --output {output:q} --log {log:q}"


rule dump_codes:
    """Encode the training split, and count the hits of table entries (section 3.4, Fig. 5b)."""
    input:
        unpack(upstream("dump_codes")),
    output:
        codes="results/store/codes/{autoencoder}-{digest}/codes.safetensors",
        hits="results/store/codes/{autoencoder}-{digest}/hits.npz",
        statistics="results/store/codes/{autoencoder}-{digest}/statistics.json",
    log:
        "results/logs/dump_codes-{autoencoder}-{digest}.log",
    threads: cores("dump_codes")
    resources:
        gpu=gpus("dump_codes"),
        mem_mb=memory("dump_codes"),
    params:
        settings=settings("dump_codes"),
        code=code("dump_codes"),
        entry=entry("dump_codes"),
    message:
        "Dumping key codes of {params.entry}"
    shell:
        "python -m pipeline.base.launch --gpus {resources.gpu} --memory {resources.mem_mb} --log {log:q} --"
        " pipeline.dump_codes {params.settings:q} --code {params.code:q} --images {input.images:q}"
        " --autoencoder {input.autoencoder:q} --codes {output.codes:q} --hits {output.hits:q}"
        " --statistics {output.statistics:q}"


rule explore_codes:
    """Interpolate in key-code space, and show what each resolution and each group tells (beyond the paper)."""
    input:
        unpack(upstream("explore_codes")),
    output:
        interpolations="results/store/explorations/{autoencoder}-{digest}/interpolation.zip",
        by_resolutions="results/store/explorations/{autoencoder}-{digest}/resolutions.zip",
        by_groups="results/store/explorations/{autoencoder}-{digest}/groups.zip",
        columns="results/store/explorations/{autoencoder}-{digest}/columns.json",
    log:
        "results/logs/explore_codes-{autoencoder}-{digest}.log",
    threads: cores("explore_codes")
    resources:
        gpu=gpus("explore_codes"),
        mem_mb=memory("explore_codes"),
    params:
        settings=settings("explore_codes"),
        code=code("explore_codes"),
        entry=entry("explore_codes"),
    message:
        "Exploring key codes of {params.entry}"
    shell:
        "python -m pipeline.base.launch --gpus {resources.gpu} --memory {resources.mem_mb} --log {log:q} --"
        " pipeline.explore_codes {params.settings:q} --code {params.code:q} --images {input.images:q}"
        " --autoencoder {input.autoencoder:q} --interpolations {output.interpolations:q}"
        " --by-resolutions {output.by_resolutions:q} --by-groups {output.by_groups:q}"
        " --columns {output.columns:q}"


rule measure_codes:
    """What section 3.4 says of codes: usage of entries, range, variance, reconstruction under noise, bytes."""
    input:
        unpack(upstream("measure_codes")),
    output:
        "results/store/code_measurements/{autoencoder}-{digest}/summary.json",
    log:
        "results/logs/measure_codes-{autoencoder}-{digest}.log",
    threads: cores("measure_codes")
    resources:
        gpu=gpus("measure_codes"),
        mem_mb=memory("measure_codes"),
    params:
        settings=settings("measure_codes"),
        code=code("measure_codes"),
        entry=entry("measure_codes"),
    message:
        "Measuring codes of {params.entry}"
    shell:
        "python -m pipeline.base.launch --gpus {resources.gpu} --memory {resources.mem_mb} --log {log:q} --"
        " pipeline.measure_codes {params.settings:q} --code {params.code:q} --images {input.images:q}"
        " --autoencoder {input.autoencoder:q} --codes {input.codes:q} --hits {input.hits:q}"
        " --lpips-alex {input.lpips_alex:q} --summary {output:q}"


rule measure_decoding:
    """Decoded images per second of several autoencoders in turns; it has all cores, so that nothing runs beside it."""
    output:
        "results/store/decodings/{models}-{digest}/decoding.json",
    log:
        "results/logs/measure_decoding-{models}-{digest}.log",
    threads: all_cores
    resources:
        gpu=gpus("measure_decoding"),
        mem_mb=memory("measure_decoding"),
    params:
        settings=settings("measure_decoding"),
        code=code("measure_decoding"),
        entry=entry("measure_decoding"),
    message:
        "Timing decoders in turns"
    shell:
        "python -m pipeline.base.launch --gpus {resources.gpu} --memory {resources.mem_mb} --log {log:q} --"
        " pipeline.measure_decoding {params.settings:q} --code {params.code:q} --output {output:q}"
