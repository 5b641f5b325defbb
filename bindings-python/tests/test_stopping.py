"""Whatever stops a verb: nothing half done is left, and the caller learns why."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import threading
from datetime import timedelta

import lastgood
import pytest
from conftest import Script, World
from lastgood import AsyncVault, Progress, TimedOutError, Vault


class Stop(Exception):
    """What a callback of the caller's own raises."""


@pytest.fixture
def before(world: World) -> set[str]:
    """One backup is there; what is stored after a stop must be just that."""
    with world.vault() as vault:
        vault.backup()
    return world.stored()


def assert_nothing_is_left(world: World, before: set[str]) -> None:
    assert world.stored() == before
    assert world.leftovers() == []
    with world.vault() as vault:
        assert len(vault.list()) == 1
        # No reservation, no lease: the next one runs.
        vault.verify("latest")


def raise_when_dumping(progress: Progress) -> None:
    if progress.phase == "dumping":
        raise Stop


def test_an_exception_in_the_callback_cancels_and_reaches_the_caller(world: World, before: set[str]) -> None:
    with Vault(**world.slow()) as vault, pytest.raises(Stop):
        vault.backup(on_progress=raise_when_dumping)
    assert_nothing_is_left(world, before)


def test_an_exception_in_the_callback_of_a_coroutine_does_too(world: World, before: set[str]) -> None:
    async def stop(progress: Progress) -> None:
        await asyncio.sleep(0)
        raise_when_dumping(progress)

    async def run() -> None:
        async with AsyncVault(**world.slow()) as vault:
            with pytest.raises(Stop):
                await vault.backup(on_progress=raise_when_dumping)
            with pytest.raises(Stop):
                await vault.backup(on_progress=stop)

    asyncio.run(run())
    assert_nothing_is_left(world, before)


def test_a_timeout_cleans_up(world: World, before: set[str]) -> None:
    with Vault(**world.slow()) as vault:
        for timeout in (0, 0.3, timedelta(milliseconds=400)):
            with pytest.raises(TimedOutError) as caught:
                vault.backup(timeout=timeout)
            assert caught.value.code == "cancelled"
            assert caught.value.retryable
    assert_nothing_is_left(world, before)


def test_a_timeout_of_a_coroutine_cleans_up(world: World, before: set[str]) -> None:
    async def run() -> None:
        async with AsyncVault(**world.slow()) as vault:
            for timeout in (0, 0.3, timedelta(milliseconds=400)):
                with pytest.raises(TimedOutError):
                    await vault.backup(timeout=timeout)
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(vault.backup(), 0.3)

    asyncio.run(run())
    assert_nothing_is_left(world, before)


def test_cancelling_a_task_waits_for_the_clean_up(world: World, before: set[str]) -> None:
    async def run() -> None:
        async with AsyncVault(**world.slow()) as vault:
            dumping = asyncio.Event()
            told = lambda p: dumping.set() if p.phase == "dumping" else None  # noqa: E731
            task = asyncio.create_task(vault.backup(on_progress=told))
            await dumping.wait()
            task.cancel()
            # A second one, as an impatient framework sends it, interrupts no clean-up.
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert world.stored() == before
            assert len(await vault.list()) == 1

    asyncio.run(run())
    assert_nothing_is_left(world, before)


INTERRUPTED = """
    import json, pathlib, sys
    from lastgood import Settings, Vault

    options = json.loads(sys.argv[1])
    with Vault(**{**options, "settings": Settings.from_dict(options["settings"])}) as vault:
        try:
            vault.backup(on_progress=lambda p: print(p.phase, flush=True))
        except KeyboardInterrupt:
            print("interrupted", len(vault.list()), flush=True)
            raise
"""


def test_ctrl_c_cleans_up_and_raises_keyboard_interrupt(world: World, before: set[str], script: Script) -> None:
    import json

    options = world.slow()
    options = {**options, "store": str(world.store), "settings": options["settings"].to_dict()}
    child = subprocess.Popen(
        script.command(INTERRUPTED, json.dumps(options)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    for line in child.stdout:
        if line == "dumping\n":
            child.send_signal(signal.SIGINT)
            break
    output, errors = child.communicate(timeout=120)
    assert "interrupted 1" in output, errors
    assert errors.rstrip().endswith("KeyboardInterrupt")
    assert child.returncode == -signal.SIGINT
    assert_nothing_is_left(world, before)


def test_closing_in_another_thread_ends_what_runs(world: World, before: set[str]) -> None:
    vault = Vault(**world.slow())
    with pytest.raises(lastgood.CancelledError):
        vault.backup(on_progress=lambda p: threading.Thread(target=vault.close).start())
    assert_nothing_is_left(world, before)


def test_a_coroutine_that_is_thrown_away_is_cancelled(small: World) -> None:
    async def run() -> None:
        vault = AsyncVault(**small.slow())
        coroutine = vault.backup()
        coroutine.send(None)
        coroutine.close()
        await vault.close()

    asyncio.run(run())
