"""Files through the pipe: whole and as they were sent, or not at all and a sentence."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ccella_core.client.protocol import encode
from ccella_core.client.transfer import (
    CHUNK_BYTES,
    MOST_SCANS,
    ReceivedFiles,
    SentScans,
    TransferError,
    bare_nrrd,
    chunks_of,
)
from ccella_core.errors import SaveError
from ccella_core.limits import MAX_REQUEST_BYTES

NAME = "SYNTHETIC_größer_seed7.nii"


def content(size: int) -> bytes:
    return np.random.default_rng(0).bytes(size)


def receive(folder: Path, chunks: list[dict[str, Any]]) -> ReceivedFiles:
    files = ReceivedFiles(folder)
    for chunk in chunks:
        files.take(chunk)
    return files


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES])
def test_what_was_sent_is_there(tmp_path: Path, size: int) -> None:
    sent = content(size)
    chunks = list(chunks_of(NAME, sent))
    assert len(chunks) == max(1, -(-size // CHUNK_BYTES))
    files = receive(tmp_path / "new", [*chunks, *chunks_of("SYNTHETIC_größer_seed7.json", b"{}")])
    value = files.here({"volumes": [{"path": NAME, "sidecar": "SYNTHETIC_größer_seed7.json", "n": 1}], "seconds": 2})
    assert value["seconds"] == 2 and value["volumes"][0]["n"] == 1
    assert Path(value["volumes"][0]["path"]).read_bytes() == sent
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == sorted([NAME, "SYNTHETIC_größer_seed7.json"])


def test_two_files_may_come_at_once(tmp_path: Path) -> None:
    one, two = (list(chunks_of(f"SYNTHETIC_{name}.nii", content(2 * CHUNK_BYTES) + name.encode())) for name in "ab")
    receive(tmp_path, [chunk for pair in zip(one, two, strict=True) for chunk in pair])
    assert len(list(tmp_path.iterdir())) == 2


def damaged(**changes: Any) -> list[dict[str, Any]]:
    first, second = chunks_of(NAME, content(CHUNK_BYTES + 10))
    return [first, {**second, **changes}]


@pytest.mark.parametrize(
    "chunks",
    [
        damaged()[1:],  # the first one is missing
        damaged(offset=0),
        damaged(data=base64.b64encode(b"0123456789").decode()),  # others than were sent
        damaged(data=base64.b64encode(b"01234567890").decode()),  # more than announced
        damaged(data="no base64!"),
        damaged(data=None),
        damaged(size="many"),
        damaged(size=2**40),
        damaged(sha256="0" * 64),
        damaged(sha256=None),
    ],
)
def test_what_came_otherwise_is_refused_and_not_written(tmp_path: Path, chunks: list[dict[str, Any]]) -> None:
    with pytest.raises(TransferError, match="came damaged through the connection; try again"):
        receive(tmp_path, chunks)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "name", ["../SYNTHETIC_x.nii", "/etc/passwd", "SYNTHETIC_/x", "C:\\SYNTHETIC_x", "x.nii", "", None, 7]
)
def test_names_cannot_lead_anywhere_else(tmp_path: Path, name: object) -> None:
    (chunk,) = chunks_of(NAME, b"x")
    with pytest.raises(TransferError, match="a name that is not expected"):
        receive(tmp_path / "in", [{**chunk, "name": name}])
    assert list(tmp_path.rglob("*")) == []


def test_a_file_that_is_named_and_never_came(tmp_path: Path) -> None:
    files = receive(tmp_path, damaged()[:1])  # half of it
    with pytest.raises(TransferError, match="did not come from the other computer"):
        files.here({"volumes": [{"path": NAME, "sidecar": NAME}]})


def test_a_label_map_comes_with_its_volumes(tmp_path: Path) -> None:
    names = {"path": "SYNTHETIC_case-labels.nii", "sidecar": "SYNTHETIC_case-labels.json"}
    entry = {"path": NAME, "sidecar": NAME}
    files = receive(tmp_path, [chunk for name in (NAME, *names.values()) for chunk in chunks_of(name, b"x")])
    volumes = files.here({"volumes": [{**entry, "labels": names}, {**entry, "labels": None}]})["volumes"]
    assert volumes[0]["labels"] == {kind: str(tmp_path / name) for kind, name in names.items()}
    assert volumes[1]["labels"] is None
    with pytest.raises(TransferError, match="did not come from the other computer"):
        files.here({"volumes": [{**entry, "labels": {**names, "path": "SYNTHETIC_other-labels.nii"}}]})


def test_a_disk_that_refuses_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(SaveError, match="free disk space or choose another folder"):
        receive(tmp_path / "taken", list(chunks_of(NAME, b"x")))


def test_the_hash_is_of_the_whole_file() -> None:
    sent = content(2 * CHUNK_BYTES + 5)
    assert {chunk["sha256"] for chunk in chunks_of(NAME, sent)} == {hashlib.sha256(sent).hexdigest()}


def scan_in_chunks(words: bytes = b"") -> tuple[bytes, list[dict[str, Any]]]:
    header = b"NRRD0004\n# of somebody\ntype: short\ncontent: Doe\n" + words + b"encoding: raw\n\n"
    bare = bare_nrrd(header + content(CHUNK_BYTES + 7))
    return bare, list(chunks_of("t2w.nrrd", bare))


def test_of_a_scan_no_word_is_sent_but_grid_and_voxels() -> None:
    bare, _chunks = scan_in_chunks(b"DICOM.PatientName:=Doe^John\n")
    assert bare == b"NRRD0004\ntype: short\nencoding: raw\n\n" + content(CHUNK_BYTES + 7)


def test_scans_are_kept_for_one_job() -> None:
    scans = SentScans()
    bare, chunks = scan_in_chunks()
    for chunk in chunks:
        scans.take(chunk)
    assert scans.claim() == {"t2w.nrrd": bare} and scans.claim() == {}
    scans.take(chunks[0])  # half of one
    assert scans.claim() == {}
    with pytest.raises(TransferError, match="came damaged"):
        scans.take(chunks[1])


@pytest.mark.parametrize("name", ["../scan.nrrd", "scan.nii", "", None, "/scan.nrrd"])
def test_a_scan_of_another_name_is_refused(name: object) -> None:
    with pytest.raises(TransferError, match="a name that is not expected"):
        SentScans().take({**scan_in_chunks()[1][0], "name": name})


def test_a_worker_keeps_no_more_scans_than_a_request_has() -> None:
    scans = SentScans()
    for number in range(MOST_SCANS):
        (chunk,) = chunks_of(f"{number}.nrrd", b"x")
        scans.take(chunk)
    with pytest.raises(TransferError, match=f"more than {MOST_SCANS} scans"):
        scans.take({**chunk, "name": "more.nrrd"})


def test_a_chunk_is_a_line_that_a_worker_takes() -> None:
    (chunk, _rest) = chunks_of("t2w.nrrd", content(CHUNK_BYTES + 1))
    assert len(encode({"id": 1, "method": "send", "params": chunk})) < MAX_REQUEST_BYTES
