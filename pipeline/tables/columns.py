"""The columns of a table's frame and csv, in order."""

from pipeline.tables.layout import Layout
from pipeline.tables.quantities import Quantity


def measured_column(quantity: Quantity, variant: str) -> str:
    """Such as `lpips_measured`, `decoder_gflops_measured_paper_rule`."""
    return f"{quantity.key}_measured" + (f"_{variant.replace(' ', '_')}" if variant else "")


def quantity_columns(quantity: Quantity, seeded: bool) -> list[str]:
    """The columns of one quantity; `two_std` is what stands behind ± where no seeds do."""
    columns = []
    if quantity.published:
        columns.append(f"{quantity.key}_published")
        columns += [f"{quantity.key}_published_two_std"] * quantity.two_std
    columns += [measured_column(quantity, variant) for variant in quantity.measured]
    columns += [f"{quantity.key}_measured_std"] * quantity.has_std
    columns += [f"{quantity.key}_measured_two_std"] * quantity.two_std
    if quantity.has_interval:
        columns += [f"{quantity.key}_measured_low", f"{quantity.key}_measured_high"]
    if seeded and quantity.kind != "complexity":
        columns += [f"{quantity.key}_measured_seed_std", f"{quantity.key}_measured_seeds"]
    if quantity.published:
        columns.append(f"{quantity.key}_difference")
    return columns


def frame_columns(layout: Layout, seeded: bool) -> list[str]:
    """All columns of a table; `seeded` where rows have several training seeds."""
    of_quantities = [column for quantity in layout.quantities for column in quantity_columns(quantity, seeded)]
    ends = ["missing", "protocol", "measured_protocol", "provenance", "notes"]
    return ["source", *layout.identity, "name", *of_quantities, *ends]
