"""What a reader must know beside a table's numbers."""

from pipeline.tables.build import BOTH, MEASURED, NOT_GIVEN, NOTE_SEPARATOR, Table
from pipeline.tables.display import is_shown
from pipeline.tables.protocols import told


def title(table: Table) -> str:
    """The table, the run, and the datasets that its measured rows are of."""
    measured = table.frame[table.frame["source"].isin([MEASURED, BOTH])]
    datasets = list(dict.fromkeys(str(d) for d in measured["dataset"] if d is not None and d == d))
    of = f"measured on {', '.join(datasets)}" if datasets else "published rows alone"
    return f"{table.layout.title} (run {table.job.run}; {of})"


def footnotes(table: Table) -> list[str]:
    """In reading order: sources, differences, ±, networks, counts, protocols, what is missing, origins."""
    notes = [
        "published: the paper's numbers, as published, with its decimals. measured: this run's.",
        _differences(table),
    ]
    kinds = table.layout.kinds
    if "reconstruction" in kinds:
        notes.append("± is two standard deviations over the images; the csv has the standard deviation too.")
        notes.append(
            "LPIPS is measured with AlexNet, LPIPS-VGG with VGG16; the paper names no network."
            " A model trained with LPIPS-AlexNet as its loss is judged by LPIPS-VGG."
        )
    if "complexity" in kinds:
        notes.append(
            "M: millions of parameters, counted from the config. ngp and tcnn: two table conventions"
            " (r + 1 or r nodes per dimension); the difference is ngp's. GFLOPs are multiply-accumulates of"
            " retrieval and decoding: by the paper's hand-written rule, which the difference is taken from,"
            " and by a true count."
        )
    if "generation" in kinds:
        notes.append(
            "FID and IS are on InceptionV3, CLIP-FID on CLIP ViT-B/32, precision, recall and F1 on VGG16."
            " FD (Fréchet distance), Score, Precision, Recall and F1 (EfficientNet-Lite0) are other metrics,"
            " on other features: not to be compared with those. Real images are the floor of a distance."
        )
    notes += _protocols(table) + _missing(table) + _row_notes(table)
    if table.job.provenance:
        made_from = ", ".join(f"{name} {digest}" for name, digest in sorted(table.job.provenance.items()))
        notes.append(f"Made from: {made_from}.")
    return notes


def _differences(table: Table) -> str:
    columns = [column for column in table.frame if str(column).endswith("_difference")]
    rule = "only where dataset, code size and protocol match a published row"
    if table.frame[columns].notna().any(axis=None):
        return f"difference: measured − published, {rule}."
    return f"No difference is shown: it is taken {rule}, and no measured row does."


def _protocols(table: Table) -> list[str]:
    """One line per dataset and protocol, naming the columns that share it."""
    columns: dict[tuple[str, str], list[str]] = {}
    for quantity in table.layout.quantities:
        for dataset, protocol in table.protocols.get(quantity.key, {}).items():
            if protocol:
                columns.setdefault((dataset, told(protocol)), []).append(quantity.name)
    return [f"Protocol on {dataset} of {', '.join(names)}: {words}." for (dataset, words), names in columns.items()]


def _missing(table: Table) -> list[str]:
    """The job's notes, and ours on what no note of the job explains."""
    shown = {quantity.name for quantity in table.layout.quantities if is_shown(table, quantity)}
    ours = [note for _, note in _noted(table) if NOT_GIVEN in note and shown & set(note.partition(":")[0].split(", "))]
    return [f"missing: {note}" for note in dict.fromkeys(table.job.missing)] + list(dict.fromkeys(ours))


def _row_notes(table: Table) -> list[str]:
    return [
        f"{where}: {note}." for where, note in _noted(table) if note not in table.job.missing and NOT_GIVEN not in note
    ]


def _noted(table: Table) -> list[tuple[str, str]]:
    """Each note with the row that it stands in."""
    noted = []
    for _, row in table.frame.iterrows():
        where = ", ".join(str(row[key]) for key in table.layout.identity if row[key] is not None)
        noted += [(f"{row['source']} row {where}", note) for note in _split(row["notes"])]
    return noted


def _split(notes: object) -> list[str]:
    return notes.split(NOTE_SEPARATOR) if isinstance(notes, str) else []
