"""What the worker says of a reader study."""

from __future__ import annotations

from pathlib import Path

import pytest

from ccella_core.client.protocol import ProtocolError
from ccella_core.errors import InputError
from ccella_core.evaluation.readers.sheets import Answer, ReaderStudy
from ccella_core.worker.tasks import Handlers, Task


def ask(**params: object) -> dict[str, str]:
    return Handlers()(Task(1, "read_study", params, send=lambda *_, **__: None))


@pytest.mark.medium
def test_a_study_is_scored_where_it_lies(tmp_path: Path) -> None:
    study = ReaderStudy.make(tmp_path, ["s"], ["r"], design="single", seed=1)
    with pytest.raises(InputError, match="Nobody has answered"):
        ask(folder=str(tmp_path))
    while (case := study.next_case("Anna")) is not None:
        study.save("Anna", Answer(case.name, case.is_synthetic, 5, 3, None, None, 2.0))
    value = ask(folder=str(tmp_path))
    assert value["page"] == str(tmp_path / "readers.html") and Path(value["page"]).is_file()
    assert "| Anna | 100.0% (2/2;" in value["text"]
    with pytest.raises(ProtocolError, match="folder"):
        ask()
