"""The templates of pages: one HTML file with style and script, which loads nothing."""

import base64
import hashlib
import re
from collections.abc import Callable
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from bright_pipeline.base.amounts import readable_bytes, readable_duration

WITHIN_WORD = re.compile(r"(?<=[a-z]{3})(?=[A-Z])|(?<=[a-z]\.)(?=\w)")


def template(name: str, **filters: Callable[..., Any]) -> Any:
    """A template of a page, with the filters that all pages have and these."""
    environment = Environment(
        loader=PackageLoader("bright_pipeline.page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= filters | {
        "bytes": readable_bytes,
        "duration": readable_duration,
        "grouped": lambda number: f"{number:,}",
        # The source expression of a script in a Content-Security-Policy.
        "sha256": lambda script: f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}",
        # Long words may break between a small and a capital letter, or behind a full stop.
        "breakable": lambda heading: Markup("<wbr>").join(WITHIN_WORD.split(heading)),
    }
    return environment.get_template(name)
