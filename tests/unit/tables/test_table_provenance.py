"""What made a row: in the csv row by row, in one footnote for the table."""

import json

from made_summaries import Built, church, complexity, csv_rows, reconstruction, row_named

from pipeline.tables.build import COUNTED, MEASURED
from pipeline.tables.footnotes import footnotes

PROVENANCE = {
    "seed": 7,
    "code": {"reconstruct": "ab" * 32, "train_autoencoder": "cd" * 32},
    "data": {"fashion_mnist": "ef" * 32},
    "weights": {
        "main": ["autoencoders/bright-8x8x4-00000000"],
        "main#1": ["autoencoders/bright-8x8x4-11111111"],
        "other": ["autoencoders/bright-4x4x8-22222222"],
    },
}


def test_a_row_names_its_origins_and_one_footnote_the_digests(built: Built) -> None:
    summaries = [reconstruction(name) for name in ("main", "main#1", "other")]
    table = built("table2", *summaries, training_seeds=[0, 1], provenance=PROVENANCE)
    made = json.loads(row_named(table, "main")["provenance"])
    assert [path.rsplit("/", 1)[-1] for path in made["summaries"]] == ["0.json", "1.json"]
    assert made["weights"] == ["autoencoders/bright-8x8x4-00000000", "autoencoders/bright-8x8x4-11111111"]
    assert (made["data_sha256"], made["seed"], made["training_seeds"]) == ("ef" * 32, 7, [0, 1])
    assert made["code"] == PROVENANCE["code"]
    assert json.loads(row_named(table, "other")["provenance"])["weights"] == PROVENANCE["weights"]["other"]
    notes = footnotes(built("table2", reconstruction("main"), provenance=PROVENANCE))
    [note] = [note for note in notes if note.startswith("Provenance: ")]
    for told in ("root seed 7", "fashion_mnist efefefefefef;", "reconstruct abababab", "bright provenance"):
        assert told in note
    assert not [note for note in footnotes(built("table2", reconstruction("main"))) if "Provenance" in note]


def test_counts_alone_are_made_from_no_weights(built: Built) -> None:
    few, counts = church("main", "64x64x4", count=100), complexity("main", "lsun_church256", "64x64x4")
    table = built("table7", few, counts, provenance=PROVENANCE)
    made = {row["source"]: json.loads(row["provenance"]) for row in csv_rows(table) if row["name"]}
    assert made[COUNTED]["weights"] == [] and made[MEASURED]["weights"] == PROVENANCE["weights"]["main"]
    assert [path.rsplit("/", 1)[-1] for path in made[COUNTED]["summaries"]] == ["1.json"]
    assert len(made[MEASURED]["summaries"]) == 2
