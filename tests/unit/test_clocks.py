"""Files dated in the future."""

import errno
import os
import time
from pathlib import Path

import pytest

from pipeline.base.errors import InputError
from pipeline.plan.clocks import set_back


def test_what_is_dated_in_the_future_gets_the_present_time_and_nothing_else_does(tmp_path: Path) -> None:
    early, late = tmp_path / "early", tmp_path / "late"
    for path, dated in ((early, 1000), (late, 2**32)):
        path.write_text("content")
        os.utime(path, (dated, dated))
    set_back([str(early), str(late), str(late), str(tmp_path / "missing")])
    assert early.stat().st_mtime == 1000
    assert abs(late.stat().st_mtime - time.time()) < 60
    assert late.read_text() == "content"


def test_what_cannot_be_set_back_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    late = tmp_path / "late"
    late.touch()
    os.utime(late, (2**32, 2**32))

    def refuse(path: str) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(os, "utime", refuse)
    with pytest.raises(InputError, match=r"late: dated 2106-02-07 .*Read-only file system\); touch it, or mend the"):
        set_back([str(late)])
