"""Forks, threads, and a thousand vaults one after the other."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest
from conftest import Script, World
from lastgood import Settings, Vault


def as_json(options: dict[str, Any]) -> str:
    return json.dumps({**options, "store": str(options["store"]), "settings": options["settings"].to_dict()})


OPEN = """
    import json, os, sys
    from lastgood import AsyncVault, Settings, Vault
    options = json.loads(sys.argv[1])
    options["settings"] = Settings.from_dict(options["settings"])
"""


def test_parent_and_children_go_on_after_a_fork(world: World, script: Script) -> None:
    script.run(
        OPEN
        + """
    vault = Vault(**options)
    vault.backup()
    children = []
    for generation in range(2):
        child = os.fork()
        if child == 0:
            # The parent's vault, and one of its own; then a child of the child.
            assert len(vault.list()) == 1
            vault.verify("latest")
            with Vault(**options) as another:
                another.drill("latest")
            grandchild = os.fork()
            if grandchild == 0:
                vault.backup()
                os._exit(0)
            os._exit(os.waitstatus_to_exitcode(os.waitpid(grandchild, 0)[1]))
        children.append(child)
    vault.verify("latest")
    for child in children:
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert len(vault.list()) == 3
    """,
        as_json(world.options()),
    )


def test_a_fork_while_a_backup_runs_harms_neither(world: World, script: Script) -> None:
    world.add_bulk()
    script.run(
        OPEN
        + """
    vault = Vault(**options)
    vault.backup()
    def fork(progress):
        if progress.phase == "dumping" and progress.bytes_done == 0:
            child = os.fork()
            if child == 0:
                assert len(vault.list()) >= 1
                vault.close()
                os._exit(0)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    made = vault.backup(on_progress=fork)
    vault.drill(made.id)
    """,
        as_json(world.options()),
    )


def test_a_pool_of_processes_works(small: World, script: Script) -> None:
    script.run(
        OPEN
        + """
    import multiprocessing
    vault = Vault(**options)
    vault.backup()
    def count(_):
        return len(vault.list())
    with multiprocessing.get_context("fork").Pool(3) as pool:
        assert pool.map(count, range(9)) == [1] * 9
    """,
        as_json(small.options()),
    )


def test_many_threads_share_one_vault(world: World) -> None:
    with world.vault() as vault:
        made = vault.backup()
        answers: list[str] = []
        threads = [threading.Thread(target=lambda: answers.append(vault.verify(made.id).id)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert answers == [made.id] * 8


def test_waiting_releases_the_interpreter(small: World) -> None:
    with small.vault() as vault:
        call = vault._start("list", {}, None)
        while not call.ended:
            list(call.take(1))
        # Nothing more will come, so this waits as long as it may.
        begun = threading.Event()

        def wait() -> None:
            begun.set()
            call._operation.next(3)

        waiting = threading.Thread(target=wait)
        waiting.start()
        begun.wait()
        sum(range(100_000))
        assert waiting.is_alive()
        waiting.join()


def test_a_vault_cannot_be_pickled_and_says_what_to_do(small: World) -> None:
    import copy
    import pickle

    with small.vault() as vault:
        for attempt in (pickle.dumps, copy.copy, copy.deepcopy):
            with pytest.raises(TypeError, match="make one in each process"):
                attempt(vault)


LEAKS = (
    OPEN
    + """
    import asyncio, gc
    def footprint():
        pages = int(open("/proc/self/statm").read().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE"), len(os.listdir("/proc/self/fd"))
    with Vault(**options) as vault:
        vault.backup()
    def cycle():
        with Vault(**options) as vault:
            vault.list(on_progress=print)
    async def async_cycle():
        async with AsyncVault(**options) as vault:
            await vault.list()
    def cycles(count):
        for _ in range(count):
            cycle()
        async def run():
            for _ in range(count):
                await async_cycle()
        asyncio.run(run())
        gc.collect()
        return footprint()
    memory, descriptors = cycles(200)
    memory_then, descriptors_then = cycles(1000)
    print(memory, memory_then, descriptors, descriptors_then)
    assert descriptors_then == descriptors
    # Two thousand vaults: a leak of half a kilobyte in each would show.
    assert memory_then - memory < 1 << 20
    """
)


def test_a_thousand_vaults_leak_neither_memory_nor_descriptors(small: World, script: Script) -> None:
    print(script.run(LEAKS, as_json(small.options())))


def test_settings_as_data_are_settings(small: World) -> None:
    settings = Settings(jobs=3, work_dir=small.work_dir)
    assert Settings.from_dict(settings.to_dict()) == Settings(jobs=3, work_dir=small.work_dir)
    with Vault(**{**small.options(), "settings": settings}) as vault:
        vault.backup()
