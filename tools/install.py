"""`make setup`: run `pip install` with one line of progress in place of one for each package.

    python tools/install.py TITLE [ARGUMENT]...     # TITLE: of the line; arguments of `pip install`

A terminal shows packages, megabytes and time in one line; a log gets such a line every twenty seconds. If pip fails,
its last lines follow.
"""

import re
import subprocess
import sys
import threading
import time
from datetime import timedelta

EVERY_S = {True: 1, False: 20}  # by whether stdout is a terminal
SIZE = re.compile(r"^ *(?:Downloading|Using cached) \S+ \(([\d.]+) ([kM])B\)", re.MULTILINE)
LAST_LINES = 30


def state(lines: list[str], seconds: float) -> str:
    """Such as `57 packages, 148 MB, 0:00:42`."""
    text = "".join(lines)
    size = sum(float(number) * {"k": 1e-3, "M": 1}[unit] for number, unit in SIZE.findall(text))
    doing = "installing" if "\nInstalling collected packages" in text else "downloading"
    packages = len(re.findall(r"^(?:Collecting|Processing) ", text, re.MULTILINE))
    return f"{doing}, {packages} packages, {size:,.0f} MB, {timedelta(seconds=round(seconds))}"


def main() -> int:
    title, *arguments = sys.argv[1:]
    terminal, start, lines = sys.stdout.isatty(), time.monotonic(), list[str]()
    command = [sys.executable, "-m", "pip", "install", "--no-compile", "--progress-bar", "off", *arguments]
    pip = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert pip.stdout is not None
    reader = threading.Thread(target=lines.extend, args=(pip.stdout,))
    reader.start()
    print(title, end="" if terminal else "\n", flush=True)
    while reader.is_alive():
        reader.join(EVERY_S[terminal])
        text = f"{title.partition(' (')[0]}: {state(lines, time.monotonic() - start)}"
        print(f"\r{text}" if terminal else text, end="" if terminal else "\n", flush=True)
    print(end="\n" if terminal else "")
    if pip.wait():
        print("".join(lines[-LAST_LINES:]), file=sys.stderr)
    return pip.returncode


if __name__ == "__main__":
    sys.exit(main())
