"""Autoencoders: train (section 3.3), take a snapshot, import.

Trainings inherit from train_autoencoder, stages on the login node from take_snapshot.
"""


rule train_autoencoder:
    """Train one autoencoder (section 3.3). Killed and started again, it resumes."""
    input:
        upstream,
    output:
        **outputs("train_autoencoder"),
    log:
        "results/logs/train_autoencoder-{name}-{digest}.log",
    threads: cores
    resources:
        **across_nodes,
        **priced,
        gpu=gpus,
        mem_mb=memory,
    params:
        entry=entry,
        command=command,
        processes=processes,
    message:
        "Training {params.entry}"
    shell:
        start(
            "bright_pipeline.engine.launch {params.processes} --memory {resources.mem_mb} --log {log:q} --"
            " {params.command}"
        )


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
        command=command,
    message:
        "Taking the snapshot {params.entry}"
    shell:
        start("{params.command} --log {log:q}")


use rule take_snapshot as import_weights with:
    """Import a checkpoint of another program instead of a training: an autoencoder or a generative model."""
    output:
        **outputs("import_weights"),
    log:
        "results/logs/import_weights-{name}-{digest}-{model}.log",
    resources:
        mem_mb=memory,
    message:
        "Importing the weights of {params.entry}"
