"""Raw collections become archives of square PNGs; metric networks become safetensors."""


rule prepare_dataset:
    """Crop, resize and split a raw collection (section 4)."""
    output:
        **outputs("prepare_dataset"),
    log:
        "results/logs/prepare_dataset-{name}-{digest}.log",
    threads: 8
    resources:
        **priced,
        mem_mb=memory,
    params:
        entry=entry,
        command=command,
    message:
        "Preparing {params.entry}"
    shell:
        start(
            "bright_pipeline.engine.launch --gpus 0 --memory {resources.mem_mb} --log {log:q} --"
            " {params.command} --workers {threads}"
        )


rule fetch_network:
    """Fetch one metric network from where pipeline/bright_pipeline/models/metric_networks/weights.yaml says, and check its hash."""
    output:
        "results/networks/{network}.safetensors",
    log:
        "results/logs/fetch_network-{network}.log",
    localrule: True
    message:
        "Fetching network {wildcards.network}"
    shell:
        start("bright_pipeline.commands fetch_network {wildcards.network:q} --output {output:q} --log {log:q}")
