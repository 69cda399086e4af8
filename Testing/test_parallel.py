"""The same work on many things: results, order and failures."""

from __future__ import annotations

import os

import pytest

from ccella_core.errors import InputError
from ccella_core.parallel import in_processes


def _square(number: int) -> int:
    if number < 0:
        raise InputError(f"{number} is negative.")
    return number**2


def _process(number: int) -> int:
    return os.getpid()


def test_one_process_keeps_the_order_and_starts_no_other():
    assert list(in_processes(_square, [3, 1, 2], jobs=1)) == [(3, 9), (1, 1), (2, 4)]
    assert list(in_processes(_process, [3], jobs=8)) == [(3, os.getpid())]  # one thing needs no other process


@pytest.mark.medium
def test_several_processes_find_the_same():
    assert dict(in_processes(_square, range(5), jobs=2)) == {number: number**2 for number in range(5)}
    assert os.getpid() not in dict(in_processes(_process, range(4), jobs=2)).values()


@pytest.mark.medium
@pytest.mark.parametrize("jobs", [1, 2])
def test_what_the_work_raises_arrives_as_it_is(jobs: int):
    with pytest.raises(InputError, match="-1 is negative"):
        list(in_processes(_square, [1, -1, 2], jobs=jobs))


def test_nothing_to_do():
    assert list(in_processes(_square, [], jobs=0)) == []
