"""Generative models: latent diffusion on codes and other families; samples in shards (section 4)."""


use rule train_autoencoder as train_diffusion with:
    """Train a diffusion model on key codes. Killed and started again, it resumes."""
    output:
        **outputs("train_diffusion"),
    log:
        "results/logs/train_diffusion-{name}-{digest}.log",


use rule train_autoencoder as train_generator with:
    """Train a generator of another family, on images or on codes. Killed and started again, it resumes."""
    output:
        **outputs("train_generator"),
    log:
        "results/logs/train_generator-{name}-{digest}.log",


use rule reconstruct as generate with:
    """Make one shard of a sample set; image i depends on the seed and i alone."""
    output:
        **outputs("generate"),
    log:
        "results/logs/generate-{name}-{digest}-{first}-{last}.log",
    message:
        "Generating {params.entry}, images {wildcards.first} to {wildcards.last}"
