"""The same work on many things, in several processes at once, none of which outlives the one that started it."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import TypeVar

import psutil

Item = TypeVar("Item")
Result = TypeVar("Result")

MOST_JOBS = 1024
MOST_ON_WINDOWS = 61
"""Processes that Windows can be asked to wait for at once."""
EXIT_PARENT_GONE = 3
SECONDS_BETWEEN_LOOKS = 0.5


def in_processes(
    work: Callable[[Item], Result], items: Sequence[Item], jobs: int
) -> Generator[tuple[Item, Result], None, None]:
    """Yield each item with its result, as it is finished; in the order of ``items`` where there is one process.

    Close it (``contextlib.closing``) where it may not be read to its end: its processes end with it.

    Args:
        work: a function of a module, or a ``partial`` of one, since other processes import it.
        items: its arguments, one a call.
        jobs: processes at once; 0: as many as there are processor cores.

    Raises:
        Exception: whatever the work raises. Calls that were not begun are left out; those that were are finished first.
    """
    jobs = min(jobs or os.cpu_count() or 1, len(items), MOST_ON_WINDOWS if os.name == "nt" else MOST_JOBS)
    if jobs <= 1:
        yield from ((item, work(item)) for item in items)
        return
    with processes(jobs) as pool:
        with _interrupts_held_back():
            futures = {pool.submit(work, item): item for item in items}
        for future in as_completed(futures):
            yield futures[future], future.result()


@contextlib.contextmanager
def processes(jobs: int) -> Iterator[ProcessPoolExecutor]:
    """A pool of processes that end with the block, and with this process, however that ends.

    After an exception calls that were begun are finished; when the user stops the program they are not.
    """
    spawn = multiprocessing.get_context("spawn")  # forking a process that has threads can hang
    before = multiprocessing.active_children()
    with ProcessPoolExecutor(jobs, mp_context=spawn, initializer=_begin, initargs=(os.getpid(),)) as pool:
        try:
            yield pool
        except Exception:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in set(multiprocessing.active_children()).difference(before):
                process.kill()
            raise


@contextlib.contextmanager
def _interrupts_held_back() -> Iterator[None]:
    """What is started meanwhile never meets Ctrl-C, which reaches all processes of a terminal; this process decides."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin(parent: int) -> None:
    # Imported here: the command that starts the processes may not need it.
    import SimpleITK as sitk  # noqa: N813 - the name SimpleITK's own documentation uses

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with(parent)
    # As many processes as cores, each with as many threads, would get in each other's way.
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)


def is_first() -> bool:
    """Whether this is the first process of a launch, or the only one."""
    return os.environ.get("RANK", "0") == "0"  # set by every launcher of several processes


def end_with(parent: int) -> None:
    """End this process soon after the one that started it has ended, even by a signal that no process can answer.

    Args:
        parent: the number of the process that started this one.
    """

    def wait() -> None:
        if os.name == "nt":
            with contextlib.suppress(psutil.NoSuchProcess):  # it ended before this process looked
                psutil.Process(parent).wait()
        else:  # another process becomes the parent, also where the dead one is not yet buried
            while os.getppid() == parent:
                time.sleep(SECONDS_BETWEEN_LOOKS)
        os._exit(EXIT_PARENT_GONE)

    threading.Thread(target=wait, name="end_with", daemon=True).start()
