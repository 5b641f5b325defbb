"""The contender in Python of `benches/overhead`: does what a line tells it, and answers the seconds of the call."""

from __future__ import annotations

import sys
import time

from lastgood import Vault

with Vault(database=sys.argv[1], store=sys.argv[2]) as vault:
    verbs = {
        "backup": lambda: vault.backup(on_progress=lambda progress: None),
        "verify": lambda: vault.verify("latest", on_progress=lambda progress: None),
    }
    for line in sys.stdin:
        began = time.perf_counter()
        verbs[line.strip()]()
        print(time.perf_counter() - began, flush=True)
