"""What the report stage is told."""

from typing import Any

from pydantic import Field

from pipeline.config.fields import Section

SAMPLES = 480  # the first so many of a sample set can be paged


class ModelRow(Section):
    """A model or a sample set of the run, in words."""

    kind: str = Field(description="Such as autoencoder.")
    name: str = Field(description="Its name in the config.")
    facts: str = Field(description="What it is, in a few words.")


class JobRow(Section):
    """A job of the run."""

    stage: str
    name: str = Field(description="The folder in the store: what it is, and its digest.")
    code: str = Field(description="The digest of the code that can change its numbers.")
    seed: int | None = None


class ShownSamples(Section):
    """The sample set that can be paged."""

    name: str
    count: int = Field(ge=1, description="How many images the whole set has.")


class ReportJob(Section):
    """The page of one run."""

    run: str = Field(description="The run's name.")
    config: dict[str, Any] = Field(
        {}, description="The config's keys that differ from their defaults and can change a number."
    )
    models: list[ModelRow] = Field([], description="Models and sample sets, in the config's order.")
    samples: ShownSamples | None = Field(None, description="The sample set that can be paged.")
    figures: dict[str, str] = Field({}, description="Figures by name, and what each is drawn by.")
    jobs: list[JobRow] = Field([], description="All jobs behind the page.")
