"""A Hugging Face dataset on disk: the arrow files of `save_to_disk`, or parquet files, read in place.

An image is a row of one column: encoded bytes, or a struct of `bytes` and a `path`, which is never opened. pyarrow
reads the files, and their metadata is validated first.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import accumulate
from pathlib import Path
from typing import Any

from pipeline.base.errors import InputError, error_text
from pipeline.data.decode import LARGEST_FILE, BadImage, RawImages
from pipeline.data.listing import RawFile

LARGEST_GROUP = 4 * 2**30  # bytes of a parquet row group, which is read as a whole
END = b"\xff\xff\xff\xff\0\0\0\0"  # end mark of a complete arrow file
ROW_DIGITS = 9


@dataclass(frozen=True)
class Rows:
    """The rows of one file in groups: their numbers of rows, and a function that reads a group."""

    counts: list[int]
    read: Callable[[int], Any]

    def find(self, row: int) -> tuple[int, int]:
        """The group of a row, and the row's index in it."""
        for group, end in enumerate(accumulate(self.counts)):
            if row < end:
                return group, row - end + self.counts[group]
        raise IndexError(row)


class HuggingFaceImages(RawImages):
    """Images in the files of a dataset. A name is FILE:ROW."""

    def __init__(self, files: list[RawFile], column: str, where: str):
        _pyarrow(where)
        self.files, self.column, self.where = {file.name: Path(file.path) for file in files}, column, where
        self._last: tuple[Any, Any] = (None, None)
        self._rows: tuple[Any, Any] = (None, None)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_last": (None, None), "_rows": (None, None)}

    def names(self) -> list[str]:
        found = []
        for file in self.files:
            with self._file_errors(file):
                found += [f"{file}:{row:0{ROW_DIGITS}d}" for row in range(sum(self._rows_of(file).counts))]
        return sorted(found)

    def encoded(self, name: str) -> bytes:
        """The stored bytes of one image; BadImage if it is unreadable."""
        file, _, row = name.rpartition(":")
        with self._file_errors(file):
            rows = self._rows_of(file)
        group, place = rows.find(int(row))
        value = self._group(file, rows, group)[place]
        if hasattr(value, "keys"):
            value = value["bytes"]
        if not value.is_valid:
            raise BadImage("no bytes: the dataset contains only a file name; save it with embedded images")
        size = value.as_buffer().size
        if size > LARGEST_FILE:
            raise BadImage(f"too large: {size} bytes, over {LARGEST_FILE}")
        return bytes(value.as_py())

    def _group(self, file: str, rows: Rows, group: int) -> Any:
        """The column of a group of rows. The last group is cached, since neighbouring rows are read next."""
        key = (os.getpid(), file, group)
        if self._last[0] != key:
            self._last = (None, None)  # never hold two groups in memory
            try:
                found = rows.read(group)
                if len(found) != rows.counts[group]:
                    raise BadImage(f"{len(found)} rows, but the file's metadata says {rows.counts[group]}")
                self._last = (key, found)
            except (MemoryError, BadImage):
                raise
            except Exception as error:  # damaged bytes make decoders raise various errors
                raise BadImage(f"damaged, with all rows of its group: {error_text(error)}") from None
        return self._last[1]

    def _rows_of(self, file: str) -> Rows:
        """The rows of a file, opened once per process."""
        key = (os.getpid(), file)
        if self._rows[0] != key:
            read = _of_parquet if file.endswith(".parquet") else _of_arrow
            self._rows = (key, read(self.files[file], self.column))
        return self._rows[1]

    @contextmanager
    def _file_errors(self, file: str) -> Iterator[None]:
        try:
            yield
        except (MemoryError, InputError):
            raise
        except _NoColumn as error:
            raise InputError(f"{self.where}.column: {self.files[file]}: {error_text(error)}") from None
        except Exception as error:  # damaged bytes make readers raise various errors
            kind = "parquet" if file.endswith(".parquet") else "arrow"
            line = f"not a readable {kind} file ({error_text(error)}); download it again"
            raise InputError(f"{self.where}.path: {self.files[file]}: {line}") from None


class _NoColumn(Exception):
    """A file has no such column, or the column has no images."""


@cache
def _pyarrow(where: str) -> Any:
    try:
        import pyarrow
    except ImportError:
        raise InputError(f"{where}: reading a Hugging Face dataset needs pyarrow; run `pip install pyarrow`") from None
    return pyarrow


def _checked(schema: Any, column: str) -> int:
    """The index of a column, which must contain images as bytes."""
    import pyarrow.types as types

    index = schema.get_field_index(column)
    if index < 0:
        raise _NoColumn(f"no column {column!r}, or two of them; the columns are {', '.join(map(repr, schema.names))}")
    found = schema.field(index).type
    names = [found.field(number).name for number in range(found.num_fields)] if types.is_struct(found) else []
    stored = found.field(names.index("bytes")).type if names.count("bytes") == 1 else found
    if not (types.is_binary(stored) or types.is_large_binary(stored)):
        raise _NoColumn(f"the column {column!r} contains {found}, not images as bytes")
    return index


def _of_parquet(path: Path, column: str) -> Rows:
    import pyarrow.parquet as parquet

    file = parquet.ParquetFile(path)
    is_struct = file.schema_arrow.field(_checked(file.schema_arrow, column)).type.num_fields > 0
    groups = [file.metadata.row_group(number) for number in range(file.metadata.num_row_groups)]

    def read(group: int) -> Any:
        if groups[group].total_byte_size > LARGEST_GROUP:
            raise BadImage(f"too large: {groups[group].total_byte_size} bytes in a row group, over {LARGEST_GROUP}")
        found = file.read_row_group(group, columns=[f"{column}.bytes" if is_struct else column], use_threads=False)
        found.validate(full=True)
        return found.column(0)

    return Rows([group.num_rows for group in groups], read)


def _of_arrow(path: Path, column: str) -> Rows:
    import pyarrow

    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - len(END)))
        if file.read() != END:
            raise ValueError("truncated")
    stream = pyarrow.ipc.open_stream(pyarrow.memory_map(str(path)))
    index = _checked(stream.schema, column)
    batches = list(stream)

    def read(group: int) -> Any:
        found = batches[group].column(index)
        found.validate(full=True)  # an invalid offset would read beyond the file
        return found

    return Rows([len(batch) for batch in batches], read)
