"""A Hugging Face dataset on disk: the arrow files of `save_to_disk`, or parquet files, read in place.

An image is a row of one column: encoded bytes, or a struct of `bytes` and a `path`, which is never opened. pyarrow
reads the files, and their metadata is validated first.
"""

from bisect import bisect_right
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import accumulate
from pathlib import Path
from typing import Any

from bright_pipeline.base.errors import InputError, error_text, readable
from bright_pipeline.data.archive import PerProcess
from bright_pipeline.data.decode import LARGEST, BadImage, RawImages
from bright_pipeline.data.listing import RawFile

END = b"\xff\xff\xff\xff\0\0\0\0"  # end mark of a complete arrow file
ROW_DIGITS = 9


@dataclass
class Rows:
    """The rows of one file in groups: their numbers of rows, and a function that reads a group."""

    counts: list[int]
    read: Callable[[int], Any]
    last: tuple[int, Any] = (-1, None)  # the last group is cached, since neighbouring rows are read next

    def value(self, row: int) -> Any:
        """The value of a row; BadImage if its group is damaged."""
        ends = list(accumulate(self.counts))
        group = bisect_right(ends, row)
        if self.last[0] != group:
            self.last = (-1, None)  # never hold two groups in memory
            try:
                values = self.read(group)
                if len(values) != self.counts[group]:
                    raise BadImage(f"{len(values)} rows, but the file's metadata says {self.counts[group]}")
                self.last = (group, values)
            except (MemoryError, BadImage):
                raise
            except Exception as error:  # damaged bytes make decoders raise various errors
                raise BadImage(f"damaged, with all rows of its group: {error_text(error)}") from None
        return self.last[1][row - ends[group] + self.counts[group]]


class HuggingFaceImages(PerProcess, RawImages):
    """Images in the files of a dataset. A name is FILE:ROW."""

    def __init__(self, files: list[RawFile], column: str, where: str):
        if find_spec("pyarrow") is None:
            raise InputError(f"{where}: reading a Hugging Face dataset needs pyarrow; run `pip install pyarrow`")
        self.files, self.column, self.where = {file.name: Path(file.path) for file in files}, column, where

    def names(self) -> list[str]:
        names: list[str] = []
        for file in self.files:
            with self._file_errors(file):
                names += [f"{file}:{row:0{ROW_DIGITS}d}" for row in range(sum(self._rows_of(file).counts))]
        return sorted(names)

    def encoded(self, name: str) -> bytes:
        file, _, row = name.rpartition(":")
        with self._file_errors(file):
            rows = self._rows_of(file)
        value = rows.value(int(row))
        if hasattr(value, "keys"):
            value = value["bytes"]
        if not value.is_valid:
            raise BadImage("no bytes: the dataset contains only a file name; save it with embedded images")
        size = value.as_buffer().size
        if size > LARGEST:
            raise BadImage(f"too large: {size} bytes, over {LARGEST}")
        return bytes(value.as_py())

    def _open(self) -> dict[str, Rows]:
        return {}

    def _rows_of(self, file: str) -> Rows:
        """The rows of a file; the last file stays open."""
        if file not in self.handle:
            read, path = _open_parquet if file.endswith(".parquet") else _open_arrow, self.files[file]
            self.handle.clear()
            self.handle[file] = read(path, self.column, f"{self.where}.column: {path}")
        return self.handle[file]

    def _file_errors(self, file: str) -> AbstractContextManager[None]:
        kind = "parquet" if file.endswith(".parquet") else "arrow"
        line = f"{self.where}.path: {self.files[file]}: not a readable {kind} file"
        return readable(line, "; download it again")


def _checked(schema: Any, column: str, where: str) -> int:
    """The index of a column, which must contain images as bytes; `where` begins the message of an InputError."""
    import pyarrow.types as types

    index = schema.get_field_index(column)
    if index < 0:
        line = f"no column {column!r}, or two of them; the columns are {', '.join(map(repr, schema.names))}"
        raise InputError(f"{where}: {error_text(line)}")
    kind = schema.field(index).type
    names = [kind.field(number).name for number in range(kind.num_fields)] if types.is_struct(kind) else []
    stored = kind.field(names.index("bytes")).type if names.count("bytes") == 1 else kind
    if not (types.is_binary(stored) or types.is_large_binary(stored)):
        line = f"the column {column!r} contains {kind}, not images as bytes"
        raise InputError(f"{where}: {error_text(line)}")
    return index


def _open_parquet(path: Path, column: str, where: str) -> Rows:
    import pyarrow.parquet as parquet

    file = parquet.ParquetFile(path)
    is_struct = file.schema_arrow.field(_checked(file.schema_arrow, column, where)).type.num_fields > 0
    groups = [file.metadata.row_group(number) for number in range(file.metadata.num_row_groups)]

    def read(group: int) -> Any:
        if groups[group].total_byte_size > LARGEST:
            raise BadImage(f"too large: {groups[group].total_byte_size} bytes in a row group, over {LARGEST}")
        table = file.read_row_group(group, columns=[f"{column}.bytes" if is_struct else column], use_threads=False)
        table.validate(full=True)
        return table.column(0)

    return Rows([group.num_rows for group in groups], read)


def _open_arrow(path: Path, column: str, where: str) -> Rows:
    import pyarrow

    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - len(END)))
        if file.read() != END:
            raise ValueError("truncated")
    stream = pyarrow.ipc.open_stream(pyarrow.memory_map(str(path)))
    index = _checked(stream.schema, column, where)
    batches = list(stream)

    def read(group: int) -> Any:
        values = batches[group].column(index)
        values.validate(full=True)  # an invalid offset would read beyond the file
        return values

    return Rows([len(batch) for batch in batches], read)
