"""The command line: `python -m lastgood`, and the script `lastgood`."""

from __future__ import annotations

import signal
import sys
import threading

from ._lastgood import cli


def main() -> int:
    """Runs the command line on this program's arguments and gives its exit code."""
    if threading.current_thread() is threading.main_thread():
        # Ctrl-C is for the command line, which cleans up, and not for the interpreter, which would add a traceback.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    return cli(["lastgood", *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
