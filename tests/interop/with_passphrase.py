#!/usr/bin/env python3
"""with_passphrase.py FILE COMMAND...: runs a command on a terminal of its own and types FILE's first line at each passphrase prompt."""
import os
import pty
import sys

passphrase = open(sys.argv[1], "rb").read().split(b"\n")[0]
tail = b""


def read(fd):
    global tail
    data = os.read(fd, 1024)
    tail = (tail + data)[-200:]
    if b"passphrase" in tail.lower() and tail.rstrip(b" \x1b[K\r").endswith(b":"):
        os.write(fd, passphrase + b"\n")
        tail = b""
    return data


sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[2:], read)))
