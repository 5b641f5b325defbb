"""Progress bars with tqdm and with rich. Both are plain functions to hand to `on_progress`.

with tqdm_bar() as tell:
    vault.backup(on_progress=tell)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from lastgood import Progress
from rich.progress import BarColumn, DownloadColumn, TextColumn, TransferSpeedColumn
from rich.progress import Progress as RichProgress
from tqdm import tqdm


@contextmanager
def tqdm_bar() -> Iterator[Callable[[Progress], None]]:
    """One bar, which begins again in each phase."""
    with tqdm(unit="B", unit_scale=True, unit_divisor=1024) as bar:

        def tell(progress: Progress) -> None:
            if bar.desc != f"{progress.phase}: ":
                bar.reset(total=progress.bytes_total)
                bar.set_description(progress.phase, refresh=False)
            bar.update(progress.bytes_done - bar.n)

        yield tell


@contextmanager
def rich_bar() -> Iterator[Callable[[Progress], None]]:
    """A line a phase, with its speed."""
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with RichProgress(*columns) as display:
        tasks = {}

        def tell(progress: Progress) -> None:
            if progress.phase not in tasks:
                tasks[progress.phase] = display.add_task(progress.phase)
            display.update(tasks[progress.phase], completed=progress.bytes_done, total=progress.bytes_total)

        yield tell
