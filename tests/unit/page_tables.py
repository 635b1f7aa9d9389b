"""Tables on pages that `bright document` filled, as it wrote them."""

import re
from pathlib import Path

PAGES = Path(__file__).parents[2] / "docs"


def page_table(page: str, table: str) -> list[dict[str, str]]:
    """The rows of a table of a page, by its headings."""
    (block,) = re.findall(
        rf"<!-- table {table} -->(.*?)<!-- end -->", (PAGES / page).read_text(encoding="utf-8"), re.DOTALL
    )
    heading, _, *rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in block.splitlines() if line.startswith("|")
    ]
    return [dict(zip(heading, row, strict=True)) for row in rows]
