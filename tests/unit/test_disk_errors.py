"""An error of a disk becomes one line: the file, the reason, and what to do."""

import errno

import pytest
from safetensors import SafetensorError

from pipeline.base.errors import disk_problem


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (OSError(errno.ENOSPC, "any", "a.csv"), "a.csv: no space left on the device; free some space, then start the"),
        (OSError(errno.EROFS, "any", "a.csv"), "a.csv: the file system is read-only here"),
        (OSError(errno.EACCES, "any", "a.csv"), "a.csv: this user may not write here"),
        (SafetensorError("I/O error: No space left on device (os error 28)"), "no space left on the device"),
        *((error, None) for error in (OSError(errno.ENOENT, "any"), ValueError("28"), SafetensorError("(os error 2)"))),
    ],
)
def test_disk_error_is_one_line_and_others_are_none(error: Exception, line: str | None) -> None:
    found = disk_problem(error)
    assert found is None if line is None else found.startswith(line)
