"""How exceptions become codes and sentences."""

from __future__ import annotations

import pytest
import torch

from ccella_core.client.protocol import ProtocolError
from ccella_core.devices import memory_explained
from ccella_core.errors import Cancelled, InputError, ModelError, NonFiniteError, SaveError
from ccella_core.worker.failures import explain


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InputError("The report is empty."), "input"),
        (ModelError("The model is missing."), "model"),
        (SaveError("The disk is full."), "save"),
        (NonFiniteError("NaN."), "nonfinite"),
        (Cancelled("Stopped."), "cancelled"),
        (ProtocolError("No method."), "protocol"),
    ],
)
def test_our_own_errors_keep_their_sentence(error: Exception, code: str) -> None:
    failure = explain(error)
    assert (failure.code, failure.message) == (code, str(error)) and failure.hint.endswith(".")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (MemoryError(), "memory"),
        (torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB."), "gpu_memory"),
        (RuntimeError("MPS backend out of memory (MPS allocated: 8 GB)"), "gpu_memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes."), "memory"),
    ],
)
def test_memory_is_told_apart_also_behind_the_pipelines_words(error: Exception, code: str) -> None:
    with pytest.raises((InputError, RuntimeError)) as caught, memory_explained():
        raise error
    failure = explain(caught.value)
    assert failure.code == code
    assert ("graphics card" in failure.message) == (code == "gpu_memory")


@pytest.mark.parametrize(
    ("program", "sentence"),
    [
        ("import no_such_package.part", "The Python package no_such_package is not installed."),
        ("from json import nothing", "The Python package json cannot be loaded: cannot import name 'nothing'"),
        ("import json.nothing", "The Python package json cannot be loaded: No module named 'json.nothing'."),
    ],
)
def test_a_missing_package_is_named(program: str, sentence: str) -> None:
    with pytest.raises(ImportError) as caught:
        exec(program)
    failure = explain(caught.value)
    assert failure.code == "dependency" and failure.message.startswith(sentence)


def test_a_missing_part_of_our_own_is_our_fault() -> None:
    with pytest.raises(ImportError) as caught:
        exec("from ccella_core.errors import nothing")
    assert explain(caught.value).code == "internal"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (KeyError("x"), "(KeyError: 'x')."),
        (RuntimeError("first line.\nsecond line"), "(RuntimeError: first line)."),
        (ValueError(), "(ValueError)."),
    ],
)
def test_faults_are_internal_and_one_sentence(error: Exception, words: str) -> None:
    failure = explain(error)
    assert failure.code == "internal" and "\n" not in failure.message and failure.message.endswith(words)
