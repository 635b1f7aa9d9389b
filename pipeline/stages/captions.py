"""What figures and tables show, in words: workflow/report/captions.yaml."""

from typing import Any

import yaml

from pipeline.base.places import REPOSITORY

CAPTIONS: dict[str, Any] = yaml.safe_load(
    (REPOSITORY / "workflow" / "report" / "captions.yaml").read_text(encoding="utf-8")
)
