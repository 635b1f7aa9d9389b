"""What disks and folders refuse, in one line: a full one, one that can only be read, one that is somebody else's."""

import errno
import re

FREE_SOME = "free some, then start the same command again: what is finished stays, and trainings go on"
REFUSALS = {
    errno.ENOSPC: f"no space left on the device; {FREE_SOME}",
    errno.EDQUOT: f"the disk quota is used up; {FREE_SOME}",
    errno.EROFS: "it can only be read here (a read-only file system); put results where they can be written",
    errno.EACCES: "not allowed to this user; results need a folder that can be written",
    errno.EPERM: "not allowed to this user; results need a folder that can be written",
    errno.EIO: "the disk fails (input/output error); look after it, then start the same command again",
}


def refusal(error: BaseException) -> str | None:
    """A line for an error of a disk or a folder, which file where that is known; None for any other error.

    Libraries that write files themselves tell the system's number in their text.
    """
    told = re.search(r"\(os error (\d+)\)", str(error))
    number = error.errno if isinstance(error, OSError) else int(told[1]) if told else None
    if number not in REFUSALS:
        return None
    file = getattr(error, "filename", None)
    return f"{file}: {REFUSALS[number]}" if file else REFUSALS[number]
