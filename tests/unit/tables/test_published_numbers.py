"""The published numbers are those of the paper: compared with it one by one, and kept."""

import hashlib

from made_summaries import PUBLISHED_FOLDER

from pipeline.settings.tables import TABLES
from pipeline.tables.pairing import IMAGE_SETS, read_published

# After a change on purpose: compare the file with the paper again, then put its new hash here.
SHA256 = {
    "claims.yaml": "b1a7777c7f0f49401f70aeec98022a358c90e6d9124b9c336be2f4c14af6706e",
    "table2.csv": "a21fcbfd03eebb8f8dae4334fd52ca4e561b589fdca124eea9a4bb61b2040f20",
    "table3.csv": "1de340d0a6686dd334a6c65135d52ea3304612b75c34005b7bb0fe8fe5198840",
    "table4.csv": "3f10926cabb3c6c5311b6ac328237999a1f98bffc1958d68f716a25ecc326239",
    "table5.csv": "5a6f40674f1121695faf4584e73ff198b440f509195fd5f7f7b23655bf0bf856",
    "table6.csv": "5cad3ca860164cfae35eb0ab4d6c5f1392d13da125ef0ab52ea04ef2671b9828",
    "table7.csv": "1210c5772a8fa4969125b35b89e0d267aca2a1b0b0fe10cb6b75f7b2ba10f048",
    "table8.csv": "778cf26f29cdcefb178b57a6e9595d360f4727f51b6d71bea9d29c1710a22c91",
    "text_10k.csv": "97fb333d526c2120188f79bdd3c2c2f57df2afaca03ad65109280c8a0cf90ea7",
}


def test_no_published_number_or_claim_has_changed() -> None:
    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in PUBLISHED_FOLDER.iterdir()}
    assert found == SHA256


def test_every_published_row_is_of_images_whose_protocol_is_known() -> None:
    for name, layout in TABLES.items():
        rows = read_published(PUBLISHED_FOLDER, name, layout)
        assert bool(rows) == layout.in_paper == (PUBLISHED_FOLDER / f"{name}.csv").is_file()
        assert {row["dataset"] for row in rows if "dataset" in row} <= IMAGE_SETS.keys()
