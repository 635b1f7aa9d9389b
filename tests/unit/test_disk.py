"""What a disk refuses is one line: which file, what it is, and what to do."""

import errno

import pytest
from safetensors import SafetensorError

from pipeline.base.disk import refusal


@pytest.mark.parametrize(
    ("number", "told"),
    [
        (errno.ENOSPC, "no space left on the device; free some, then start the same command again"),
        (errno.EROFS, "it can only be read here (a read-only file system)"),
        (errno.EACCES, "not allowed to this user"),
    ],
)
def test_an_error_of_the_system_is_told_in_words(number: int, told: str) -> None:
    assert (refusal(OSError(number, "any", "results/table.csv")) or "").startswith(f"results/table.csv: {told}")


def test_a_library_that_writes_by_itself_tells_the_systems_number_in_its_text() -> None:
    error = SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")
    assert (refusal(error) or "").startswith("no space left on the device")


@pytest.mark.parametrize("error", [OSError(errno.ENOENT, "any"), ValueError("28"), SafetensorError("(os error 2)")])
def test_any_other_error_is_none_of_a_disk(error: Exception) -> None:
    assert refusal(error) is None
