"""What figures and tables show, in words: config/captions.yaml. Records of studies share a caption, `study`."""

from typing import Any

import yaml

from pipeline.base.paths import CONFIG

CAPTIONS: dict[str, Any] = yaml.safe_load((CONFIG / "captions.yaml").read_text(encoding="utf-8"))
