"""Stages are done once, go on where they were stopped, and are refused where something else was made."""

from __future__ import annotations

import json
import shutil
from contextlib import contextmanager
from pathlib import Path

import pytest

from ccella_core.config import StrictModel
from ccella_core.errors import InputError
from ccella_core.study.stages import STAGE_NAME, Silent, Stages, StudyStep

PLAN = (
    StudyStep("a/first", "Do the first"),
    StudyStep("second", "Do the second"),
    StudyStep("never", "Do it", "it cannot be"),
)


class Found(StrictModel):
    number: int


class Follower:
    def __init__(self) -> None:
        self.finished: set[str] = set()
        self.begun: list[tuple[str, int, int]] = []

    def plan(self, stages, finished) -> None:
        self.finished = finished

    @contextmanager
    def stage(self, stage, number, total):
        self.begun.append((stage.key, number, total))
        yield lambda done, of: None


def returning(number: int):
    return lambda folder, told: Found(number=number)


def refused(folder, told):
    raise AssertionError("this is finished")


def test_a_finished_stage_is_read(tmp_path: Path) -> None:
    made_with = {"seed": 1, "where": tmp_path}
    assert Stages(tmp_path, PLAN, Silent()).done("a/first", made_with, Found, returning(7)).number == 7
    follower = Follower()
    stages = Stages(tmp_path, PLAN, follower)
    assert follower.finished == {"a/first"}
    assert stages.done("a/first", made_with, Found, refused).number == 7
    assert stages.done("second", {}, Found, returning(8)).number == 8
    assert follower.begun == [("second", 1, 1)]
    assert set(stages.seconds) == {"a/first", "second"}


def test_a_stopped_stage_is_done_again(tmp_path: Path) -> None:
    def killed(folder, told):
        (folder / "half").write_text("what is there already")
        raise KeyboardInterrupt

    stages = Stages(tmp_path, PLAN, Silent())
    with pytest.raises(KeyboardInterrupt):
        stages.done("second", {"seed": 1}, Found, killed)
    follower = Follower()
    stages = Stages(tmp_path, PLAN, follower)
    assert follower.finished == set()
    going_on = stages.done("second", {"seed": 1}, Found, lambda folder, told: Found(number=len(list(folder.iterdir()))))
    assert going_on.number == 2  # the half, and the record


def test_a_stage_without_a_result_may_go_on_with_corrected_settings(tmp_path: Path) -> None:
    def failing(folder, told):
        raise InputError("these settings cannot be used")

    stages = Stages(tmp_path, PLAN, Silent())
    with pytest.raises(InputError, match="cannot be used"):
        stages.done("second", {"seed": 1}, Found, failing)
    assert stages.done("second", {"seed": 3}, Found, returning(5)).number == 5
    with pytest.raises(InputError, match="seed was 3 and is 1"):
        stages.done("second", {"seed": 1}, Found, returning(5))


def test_what_was_made_with_something_else_is_refused_by_name(tmp_path: Path) -> None:
    stages = Stages(tmp_path, PLAN, Silent())
    stages.done("second", {"seed": 1, "model": {"steps": 2}}, Found, returning(1))
    with pytest.raises(InputError, match=r"seed was 1 and is 3.*name another folder"):
        stages.done("second", {"seed": 3, "model": {"steps": 2}}, Found, returning(1))
    with pytest.raises(InputError, match=r"model.steps was 2 and is 4"):
        stages.done("second", {"seed": 1, "model": {"steps": 4}}, Found, returning(1))
    again = stages.done("second", {"seed": 1, "model": {"steps": 4}}, Found, returning(1), may_change=("model",))
    assert again.number == 1


def test_fingerprints_of_weights_are_kept_and_compared(tmp_path: Path) -> None:
    def stages() -> Stages:
        return Stages(tmp_path, PLAN, Silent())

    one, other = ({"extractor_sha256": {"phantom": sha256}} for sha256 in ("12", "34"))
    asked: list[str] = []
    stages().done("a/first", {"seed": 1}, Found, lambda *_: asked.append("work") or Found(number=1),
                  weights=lambda: asked.append("weights") or one)  # fmt: skip
    assert asked == ["work", "weights"], "what is trained on first use is trained within the work"
    assert json.loads((tmp_path / "a" / "first" / STAGE_NAME).read_text())["made_with"] == {"seed": 1, **one}
    for weights in (lambda: one, dict):  # the same, and weights that are not at hand any more
        assert stages().done("a/first", {"seed": 1}, Found, refused, weights=weights).number == 1
    with pytest.raises(InputError, match=r"\(extractor_sha256.phantom was 12 and is 34\)"):
        stages().done("a/first", {"seed": 1}, Found, refused, weights=lambda: other)
    with pytest.raises(InputError, match=r"\(seed was 1 and is 2\)"):
        stages().done("a/first", {"seed": 2}, Found, refused, weights=lambda: one)


def test_stages_that_were_measured_with_different_weights_are_not_put_side_by_side(tmp_path: Path) -> None:
    def weights(**sha256: str):
        return lambda: {"extractor_sha256": sha256}

    stages = Stages(tmp_path, PLAN, Silent())
    stages.done("a/first", {}, Found, returning(1), weights=weights(phantom="12", medicalnet="56"))
    later = Stages(tmp_path, PLAN, Silent())
    later.done("a/first", {}, Found, refused)  # the weights are not at hand any more
    with pytest.raises(InputError, match=r"a/first and second were .* \(extractor_sha256.phantom is 12 and 34\)"):
        later.done("second", {}, Found, returning(2), weights=weights(phantom="34"))
    shutil.rmtree(tmp_path / "a" / "first")
    again = Stages(tmp_path, PLAN, Silent())
    assert again.done("a/first", {}, Found, returning(3), weights=weights(phantom="34", medicalnet="56")).number == 3
    assert again.done("second", {}, Found, refused, weights=weights(phantom="34")).number == 2


def test_what_does_not_apply_is_told(tmp_path: Path) -> None:
    stages = Stages(tmp_path, PLAN, Silent())
    assert stages.applies("second") and not stages.applies("never") and not stages.applies("unheard of")


def test_a_damaged_record_is_explained(tmp_path: Path) -> None:
    (tmp_path / "second").mkdir()
    (tmp_path / "second" / STAGE_NAME).write_text("{")
    with pytest.raises(InputError, match=r"remove .*second to have it made anew"):
        Stages(tmp_path, PLAN, Silent())
