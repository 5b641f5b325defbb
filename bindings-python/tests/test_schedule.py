"""Schedules in this process, and `run_due` for hosts that do not stay."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from conftest import Script, World
from lastgood import InvalidError, JobRecord, Keep, Plan, RunDueReport, ScheduleStatus, Vault
from test_processes import OPEN, as_json

YEARLY = "0 0 1 1 *"
"""Due now, and not again while a test runs."""

BACKUPS = Plan(backup=YEARLY, verify="off", drill="off", prune="off")


def done(status: ScheduleStatus) -> list[tuple[str, bool]]:
    assert status.last is not None
    return [(ran.job, ran.ok) for ran in status.last.ran]


def test_a_schedule_does_what_is_due_and_says_so(world: World) -> None:
    plan = Plan(
        backup=YEARLY,
        verify=YEARLY,
        drill="off",
        prune="off",
        time_zone="Europe/Berlin",
        keep=Keep(daily=7),
        tags=["nightly"],
        deadline=timedelta(hours=1),
    )
    with world.vault() as vault:
        with vault.schedule(plan) as job:
            assert job.status.running
            status = next(iter(job))
            assert done(status) == [("backup", True), ("verify", True)]
            assert {(due.job, due.at.month, due.at.hour) for due in status.next} == {
                ("backup", 12, 23),
                ("verify", 12, 23),
            }
            assert status.error is None
        assert not job.status.running
        assert job.status.next_run_at is None
        job.stop()
        (made,) = vault.list()
        assert status.last is not None
        assert (made.id, made.tags) == (status.last.ran[0].backup, ("nightly",))
        assert made.verified_at is not None


def test_a_schedule_beside_an_event_loop_does_too(world: World) -> None:
    async def run() -> None:
        async with world.async_vault() as vault:
            job = await vault.schedule(BACKUPS)
            async for status in job:
                assert done(status) == [("backup", True)]
                break
            async with job:
                assert job.status.running
            assert not job.status.running
            await job.stop()
            assert len(await vault.list()) == 1

    asyncio.run(run())


def test_what_fails_reaches_whoever_follows_and_the_log(small: World, caplog: pytest.LogCaptureFixture) -> None:
    options = {**small.options(), "database": f"sqlite:{small.folder / 'missing.db'}"}
    with caplog.at_level(logging.WARNING, "lastgood"), Vault(**options) as vault:
        seen: list[JobRecord] = []
        job = vault.schedule(BACKUPS)
        for status in job:
            assert status.last is not None
            seen += status.last.ran
            job.stop()
    (ran,) = seen
    assert not ran.ok
    assert ran.error is not None
    assert ran.error.code == "database_not_found"
    assert ran.retry_at is not None
    assert ran.retry_at > ran.ended_at
    assert "missing.db" in caplog.text


@pytest.fixture
def in_the_middle(caplog: pytest.LogCaptureFixture) -> Iterator[threading.Event]:
    """Set when a backup is in the middle of its work: nobody but the schedule's own thread looks at the log."""
    logger = logging.getLogger("lastgood")
    found = threading.Event()

    class Look(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            fields: dict[str, Any] = getattr(record, "fields", {})
            if record.getMessage().startswith("a phase begins") and fields.get("phase") == "dumping":
                found.set()

    handler = Look()
    logger.addHandler(handler)
    with caplog.at_level(logging.DEBUG, "lastgood"):
        yield found
    logger.removeHandler(handler)


def assert_nothing_is_left(world: World) -> None:
    assert not [name for name in world.stored() if "/backup-" in name]
    assert world.leftovers() == []
    with world.vault() as vault:
        # No lease keeps the next one waiting.
        report = vault.run_due(plan=BACKUPS)
        assert ([ran.ok for ran in report.ran], report.held_by) == ([True], None)


@pytest.mark.parametrize("how", ["stop", "close", "block"])
def test_ending_it_in_the_middle_of_a_backup_leaves_nothing(
    small: World, in_the_middle: threading.Event, how: str
) -> None:
    vault = Vault(**small.slow())
    job = vault.schedule(BACKUPS)
    heard: list[ScheduleStatus] = []
    follower = threading.Thread(target=lambda: heard.extend(job), daemon=True)
    follower.start()
    assert in_the_middle.wait(60)
    if how == "stop":
        job.stop()
    elif how == "close":
        vault.close()
    else:
        with job:
            assert job.status.running
    assert not job.status.running
    follower.join()
    assert heard == [], "whoever follows it is told that it is over, and nothing else"
    vault.close()
    assert_nothing_is_left(small)


def test_ending_it_in_the_middle_leaves_nothing_beside_an_event_loop(
    small: World, in_the_middle: threading.Event
) -> None:
    async def run(end: str) -> None:
        in_the_middle.clear()
        vault = small.async_vault(settings={"jobs": 1, "level": 19})
        job = await vault.schedule(BACKUPS)
        assert await asyncio.to_thread(in_the_middle.wait, 60)
        if end == "stop":
            await job.stop()
        if end == "close":
            await vault.close()
        # Otherwise the end of the loop ends it.

    small.add_bulk()
    for end in ("stop", "close", "loop"):
        asyncio.run(run(end))
        assert not [name for name in small.stored() if "/backup-" in name], end
    assert_nothing_is_left(small)


def test_a_module_that_is_loaded_anew_keeps_one_schedule(small: World) -> None:
    before, after = small.vault(), small.vault()
    first = before.schedule(BACKUPS)
    status = next(iter(first))
    second = after.schedule(BACKUPS)
    assert second.status.last == status.last, "it is the one that runs"
    before.close()
    assert second.status.running
    other = after.schedule(Plan(backup="0 0 2 1 *", verify="off", drill="off", prune="off"))
    for _ in second:
        pytest.fail("nothing is due that was not done")
    assert (first.status.running, second.status.running, other.status.running) == (False, False, True)
    after.close()
    assert not other.status.running
    with small.vault() as vault:
        assert len(vault.list()) == 1


def test_a_plan_that_cannot_be_followed_is_refused_where_it_is_given(small: World) -> None:
    with small.vault() as vault:
        for plan in ("at noon", Plan(backup=YEARLY, time_zone="Mars/Olympus"), Plan(keep=Keep(daily=0))):
            with pytest.raises(InvalidError) as caught:
                vault.schedule(plan)
            assert caught.value.code == "invalid_option"
    with pytest.raises(RuntimeError, match="closed"):
        vault.schedule()


SCHEDULED = (
    OPEN
    + """
    from lastgood import Plan
    plan = Plan(backup="0 0 1 1 *", verify="off", drill="off", prune="off")
    vault = Vault(**options)
    """
)


def test_a_program_ends_by_itself_and_what_runs_then_cleans_up(small: World, script: Script) -> None:
    small.slow()
    told = script.run(
        SCHEDULED
        + """
    import logging, threading
    dumping = threading.Event()
    class Look(logging.Handler):
        def emit(self, record):
            if record.fields.get("phase") == "dumping":
                dumping.set()
    logger = logging.getLogger("lastgood")
    logger.addHandler(Look())
    logger.setLevel(logging.DEBUG)
    vault.schedule(plan)
    dumping.wait()
    print("the end")
    """,
        as_json(small.options(settings={"jobs": 1, "level": 19})),
    )
    assert told == "the end\n"
    assert_nothing_is_left(small)


def test_a_program_that_waits_for_it_stays(small: World, script: Script) -> None:
    told = script.run(
        SCHEDULED
        + """
    for status in vault.schedule(plan):
        print([ran.ok for ran in status.last.ran])
        break
    """,
        as_json(small.options()),
    )
    assert told == "[True]\n"


def test_children_of_a_fork_start_schedules_of_their_own(small: World, script: Script) -> None:
    script.run(
        SCHEDULED
        + """
    job = vault.schedule(plan)
    next(iter(job))
    for _ in range(2):
        child = os.fork()
        if child == 0:
            # The parent's is none of ours: no state, nothing to wait for, nothing to stop.
            assert not job.status.running
            assert list(job) == []
            job.stop()
            mine = vault.schedule(plan)
            assert mine.status.running and mine.status.last is None
            vault.close()
            assert not mine.status.running
            # As multiprocessing does, or with what is registered for the end of a program.
            os._exit(0) if _ else sys.exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert job.status.running
    assert len(vault.list()) == 1
    """,
        as_json(small.options()),
    )


def test_waiting_for_it_is_interrupted_by_ctrl_c(small: World, script: Script) -> None:
    told = script.run(
        SCHEDULED
        + """
    import _thread
    try:
        for status in vault.schedule(plan):
            _thread.interrupt_main()
    except KeyboardInterrupt:
        print("interrupted")
    """,
        as_json(small.options()),
    )
    assert told == "interrupted\n"


def test_run_due_does_each_slot_once_whatever_calls_it(world: World) -> None:
    now = datetime.now(timezone.utc)
    plan = Plan(backup=YEARLY, drill=YEARLY, verify="off", prune="off", keep=Keep(last=3))
    reports: list[RunDueReport] = []
    with world.vault() as vault:
        call = lambda: reports.append(vault.run_due(plan=plan, within=timedelta(minutes=5)))  # noqa: E731
        threads = [threading.Thread(target=call) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted((ran.job, ran.ok) for report in reports for ran in report.ran) == [
            ("backup", True),
            ("drill", True),
        ]
        for report in reports:
            assert report.at > now - timedelta(minutes=1)
            assert report.held_by or len(report.next) == 2
        (made,) = vault.list()
        assert made.drilled_at is not None
        assert vault.run_due(plan=plan).ran == ()
