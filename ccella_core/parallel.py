"""The same work on many things, in several processes at once."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_processes(work: Callable[[Item], Result], items: Sequence[Item], jobs: int) -> Iterator[tuple[Item, Result]]:
    """Yield each item with its result, as it is finished; in the order of ``items`` where there is one process.

    Args:
        work: a function of a module, or a ``partial`` of one, since other processes import it.
        items: its arguments, one a call.
        jobs: processes at once; 0: as many as there are processor cores.

    Raises:
        Exception: whatever the work raises. Calls that were not begun are left out; those that were are finished first.
    """
    jobs = min(jobs or os.cpu_count() or 1, len(items))
    if jobs <= 1:
        yield from ((item, work(item)) for item in items)
        return
    spawn = multiprocessing.get_context("spawn")  # forking a process that has threads can hang
    with ProcessPoolExecutor(jobs, mp_context=spawn, initializer=_one_thread) as pool:
        futures = {pool.submit(work, item): item for item in items}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def _one_thread() -> None:
    """As many processes as cores, each with as many threads, would get in each other's way."""
    import SimpleITK as sitk  # noqa: N813 - the name SimpleITK's own documentation uses

    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
