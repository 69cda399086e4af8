"""The benchmarks run, on a tiny model, and what they write adds up."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from subprocess import CalledProcessError
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from ccella_core.cases.prepared import PreparedSet
from ccella_core.errors import InputError

FOLDER = Path(__file__).parent / "benchmarks"


class MeanReader:
    """Two features that any volume has."""

    def features(self, volumes: Iterable[np.ndarray]) -> np.ndarray:
        return np.stack([[volume.mean(), volume.std()] for volume in volumes])


@pytest.fixture
def benchmark_module(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> ModuleType:
    monkeypatch.syspath_prepend(FOLDER)  # as if it were run as a script
    return __import__(request.param)


def invoked(module: ModuleType, *arguments: object) -> Result:
    return CliRunner().invoke(module.app, [str(argument) for argument in arguments])


@pytest.mark.medium
@pytest.mark.parametrize("benchmark_module", ["steps_quality"], indirect=True)
def test_steps_against_quality(
    benchmark_module: ModuleType, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(benchmark_module, "load_or_train_phantom_reader", lambda cache: MeanReader())
    options = ["--scheduler", "unipc", "--scheduler", "ddim", "--steps", 1, "--reference-steps", 2]
    options += ["--model", tiny_model, "--device", "cpu", "--dtype", "float32", "--out", tmp_path]
    first = invoked(benchmark_module, *options, "--count", 4, "--batch", 3)
    assert first.exit_code == 0, first.output
    assert "min left" in first.output
    assert "as good as 2 steps of ddpm" in first.output

    result = json.loads((tmp_path / "steps_quality.json").read_text(encoding="utf-8"))
    labels = [(row["label"], row["steps"]) for row in result["rows"]]
    through = "phantoms through the autoencoder"
    assert labels == [("phantoms", None), (through, None), ("unipc", 1), ("ddim", 1), ("ddpm", 2)]
    phantoms, *others = result["rows"]
    # Random networks make nothing like a phantom.
    assert all(phantoms["frechet"] < row["frechet"] for row in others)
    assert all(row["seconds_a_volume"] > 0 for row in others[1:])
    assert (tmp_path / "steps_quality.md").read_text(encoding="utf-8").count("\n| ") == 2 + len(labels)

    # It goes on where it was: the first four volumes stay as they are, seconds included, and two are added.
    (ddpm,) = tmp_path.rglob("ddpm-2.npz")
    with np.load(ddpm) as before:
        kept = {name: before[name] for name in before.files}
    again = invoked(benchmark_module, *options, "--count", 6, "--batch", 3)
    assert again.exit_code == 0, again.output
    with np.load(ddpm) as after:
        assert after["values"].shape == (6, 2)
        assert all(np.array_equal(after[name][:4], kept[name]) for name in kept)


@pytest.mark.parametrize("benchmark_module", ["steps_quality"], indirect=True)
def test_the_cheapest_row_has_the_fewest_steps_among_the_good(benchmark_module: ModuleType) -> None:
    from ccella_core.evaluation.images.distances import KernelDistance

    run, row = benchmark_module.Run, benchmark_module.Row

    def made(scheduler: str, steps: int, mean: float) -> object:
        kernel = KernelDistance(mean=mean, standard_deviation=0.1)
        return row(run(scheduler, steps), scheduler, float(steps), 1.0, kernel)

    rows = [made("a", 10, 1.3), made("a", 20, 1.15), made("b", 20, 1.1), made("a", 30, 0.9), made("ddpm", 1000, 1.0)]
    text = benchmark_module.verdict(rows, run("ddpm", 1000))
    assert "b with 20 steps, 20 s a volume instead of 1e+03 s" in text
    assert "(1.2)" in text
    assert benchmark_module.verdict([rows[0], rows[-1]], run("ddpm", 1000)).startswith("No row is as good")


@pytest.mark.parametrize("benchmark_module", ["steps_quality"], indirect=True)
@pytest.mark.parametrize(("option", "value", "complaint"), [("--scheduler", "euler", "euler"), ("--count", 3, "count")])
def test_what_cannot_be_measured_is_refused(
    benchmark_module: ModuleType, option: str, value: object, complaint: str, tiny_model: Path, tmp_path: Path
) -> None:
    refused = invoked(benchmark_module, "--model", tiny_model, "--out", tmp_path, option, value)
    assert refused.exit_code == 2
    assert complaint in refused.output


@pytest.mark.medium
@pytest.mark.parametrize("benchmark_module", ["speed"], indirect=True)
def test_speed(benchmark_module: ModuleType, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from _speed_case import measure  # type: ignore[import-not-found]  # beside the benchmark

    # Not in processes of their own, each of which would load torch: the memory means nothing here.
    monkeypatch.setattr("_measure.in_own_process", lambda script, case, result: measure(case))
    done = invoked(benchmark_module, "--model", tiny_model, "--quick", "--out", tmp_path)
    assert done.exit_code == 0, done.output
    result = json.loads((tmp_path / "speed.json").read_text(encoding="utf-8"))
    assert len(result["results"]) == 7
    assert all(entry["seconds"] > 0 and entry["beyond_gib"] >= 0 for entry in result["results"])
    assert [entry["part"] for entry in result["results"] if entry["plain"]] == ["step", "decode"]
    assert result["sizes"][0]["latent_shape"] == [4, 4, 2]
    assert "| decode, MONAI's, whole (plain) |" in (tmp_path / "speed.md").read_text(encoding="utf-8")


@pytest.mark.medium
@pytest.mark.parametrize("benchmark_module", ["train_step"], indirect=True)
def test_a_training_step(
    benchmark_module: ModuleType, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from _train_case import measure  # type: ignore[import-not-found]  # beside the benchmark

    monkeypatch.setattr("_measure.in_own_process", lambda script, case, result: measure(case))
    done = invoked(benchmark_module, "--model", tiny_model, "--batch", 1, "--batch", 2, "--out", tmp_path)
    assert done.exit_code == 0, done.output
    assert "Measured in float32 on" in done.output
    result = json.loads((tmp_path / "train_step.json").read_text(encoding="utf-8"))
    assert [(entry["batch"], entry["way"]) for entry in result["results"]] == [
        (1, "plain loop"), (1, "fit, the batch at once"),
        (2, "plain loop"), (2, "fit, the batch at once"), (2, "fit, a case at a time"),
    ]  # fmt: skip
    assert all(entry["seconds"] > 0 and entry["peak_gib"] > 0 for entry in result["results"])
    assert all(0 <= entry["held_share"] < 1 for entry in result["results"])
    assert "| fit, a case at a time |" in (tmp_path / "train_step.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("benchmark_module", ["train_step"], indirect=True)
def test_a_training_step_on_a_gpu_that_is_not_there(
    benchmark_module: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    refused = invoked(benchmark_module, "--device", "cuda", "--out", tmp_path / "out")
    assert refused.exit_code == 2 and "There is no device 'cuda'" in refused.output
    assert not (tmp_path / "out").exists()


@pytest.mark.medium
@pytest.mark.parametrize("benchmark_module", ["train_step"], indirect=True)
def test_what_has_no_room_on_the_gpu_is_left_out(benchmark_module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    from _train_case import Case, Way  # type: ignore[import-not-found]

    monkeypatch.setattr("torch.cuda.mem_get_info", lambda: (2**30, 2**40))
    (size,) = benchmark_module.sizes_of("published", None)
    said = benchmark_module.attempt(Case(way=Way.PLAIN, size=size, batch=8, device="cuda"))
    assert said.startswith("Left out: plain loop, batch of 8") and said.endswith("and 1.0 are free.")


@pytest.mark.parametrize("benchmark_module", ["train_step"], indirect=True)
def test_a_step_needs_memory_for_the_cases_that_it_holds_at_once(benchmark_module: ModuleType) -> None:
    from _train_case import Case, Way, needed_gib  # type: ignore[import-not-found]

    (size,) = benchmark_module.sizes_of("demo", None)
    whole, parts, one = (needed_gib(Case(way=way, size=size, batch=batch))
                         for way, batch in ((Way.PLAIN, 8), (Way.FIT_MICRO, 8), (Way.FIT, 1)))  # fmt: skip
    assert parts == one < whole


@pytest.mark.parametrize("benchmark_module", ["speed"], indirect=True)
def test_what_has_no_room_is_left_out_with_a_sentence(benchmark_module: ModuleType) -> None:
    case = benchmark_module.Case(
        measured=benchmark_module.Measured.DECODE_MONAI,
        size=benchmark_module.sizes_of("published", None)[0].model_copy(update={"latent_shape": (4096, 4096, 4096)}),
    )
    assert "Left out: decode, MONAI's, whole (plain), at the published size" in benchmark_module.attempt(case)
    refused = invoked(benchmark_module, "--parts", "step,encode")
    assert refused.exit_code == 2
    assert "'encode'" in refused.output


@pytest.mark.parametrize("benchmark_module", ["synthesize"], indirect=True)
def test_synthesis_on_several_processes(
    benchmark_module: ModuleType, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def seconds(run: Any, prepared: Path, *_: object) -> float:
        cases = PreparedSet.open(prepared).split("train")
        assert len(cases) == 4 and all(case.reports for case in cases)
        return 10 / (1.9 if run.processes == 2 else 1.25 if run.threads == 2 else 1)

    monkeypatch.setattr(benchmark_module, "measure", seconds)
    monkeypatch.setattr(benchmark_module, "_keep_to_cores", lambda count: None)
    done = invoked(benchmark_module, "--model", tiny_model, "--cases", 4, "--out", tmp_path)
    assert done.exit_code == 0, done.output
    result = json.loads((tmp_path / "synthesize.json").read_text(encoding="utf-8"))
    assert result["times_as_fast"] == {"one_core": pytest.approx(1.9), "as_many_cores": pytest.approx(1.9 / 1.25)}
    assert "2 processes are 1.90 times as fast as one on one core (the goal for two is 1.8)" in done.output
    refused = invoked(benchmark_module, "--model", tiny_model, "--cases", 5, "--out", tmp_path)
    assert refused.exit_code == 2
    assert "choose a multiple" in refused.output


@pytest.mark.medium
@pytest.mark.parametrize("benchmark_module", ["classify"], indirect=True)
def test_a_step_of_a_classifier(benchmark_module: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = benchmark_module.preset("small")["classifier"]
    tiny = {**small, "preprocessing": {"shape": [16, 16, 16], "spacing": None}}
    monkeypatch.setattr(benchmark_module, "preset", lambda name: {"classifier": tiny})
    done = invoked(benchmark_module, "--steps", 3, "--batch", 2, "--out", tmp_path)
    assert done.exit_code == 0, done.output
    results = json.loads((tmp_path / "classify.json").read_text(encoding="utf-8"))["results"]
    assert [(row["network"], row["shape"]) for row in results] == [
        ("resnet10", [16, 16, 16]),
        ("resnet10", [32, 32, 32]),
        ("efficientnet-b0", [32, 32, 32]),
    ]
    assert all(row["seconds"] > 0 for row in results)
    lines = (tmp_path / "classify.md").read_text(encoding="utf-8").splitlines()
    assert [line.split("|")[5].strip() for line in lines if line.startswith("| resnet10")] == ["1.00", "1.00"]


@pytest.mark.parametrize("benchmark_module", ["edit_lesions"], indirect=True)
def test_a_seam_is_a_step_that_the_scan_does_not_have(benchmark_module: ModuleType) -> None:
    scan = np.random.default_rng(0).normal(0.5, 0.02, (20, 20, 10))
    mask = np.zeros(scan.shape, bool)
    mask[6:14, 6:14, 3:7] = True
    assert benchmark_module.seam(scan, scan, mask) == 1
    assert benchmark_module.seam(scan + 0.3 * mask, scan, mask) > 8  # a patch that is brighter than its surroundings
    inner = np.zeros(scan.shape, bool)
    inner[8:12, 8:12, 4:6] = True
    assert benchmark_module.seam(scan + 0.3 * inner, scan, mask) == 1  # not at the edge


@pytest.mark.medium
@pytest.mark.parametrize("benchmark_module", ["edit_lesions"], indirect=True)
def test_lesions_are_put_in_and_taken_out(
    benchmark_module: ModuleType, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ccella_core.evaluation.adherence.phantom_reader import PhantomReader, PhantomReaderConfig, PhantomReaderNetwork

    reader = PhantomReader(PhantomReaderNetwork((4, 8, 8)), PhantomReaderConfig(filters=(4, 8, 8)))
    monkeypatch.setattr(benchmark_module, "load_or_train_phantom_reader", lambda cache: reader)
    large = tmp_path / "large"  # the phantom reader's window must fit into what the model makes
    shutil.copytree(tiny_model, large)
    index = json.loads((large / "model_index.json").read_text(encoding="utf-8"))
    index["native_shape"] = [80, 64, 32]
    (large / "model_index.json").write_text(json.dumps(index), encoding="utf-8")
    options = ["--model", large, "--steps", 1, "--device", "cpu", "--out", tmp_path]
    first = invoked(benchmark_module, *options, "--count", 1)
    assert first.exit_code == 0, first.output
    cases = json.loads((tmp_path / "edit_lesions.json").read_text(encoding="utf-8"))["cases"]
    assert [case["edit"] for case in cases] == ["put in", "taken out"]
    assert all(case["changed_outside"] == 0 and case["seam"] > 0 for case in cases)
    # It goes on where it was, and refuses what was made in another way.
    again = invoked(benchmark_module, *options, "--count", 2)
    assert again.exit_code == 0, again.output
    more = json.loads((tmp_path / "edit_lesions.json").read_text(encoding="utf-8"))["cases"]
    assert len(more) == 4 and more[:2] == cases
    other = invoked(benchmark_module, *options, "--count", 2, "--strength", 0.5)
    assert other.exit_code == 2 and "options.strength was None and is 0.5" in " ".join(other.output.split())


@pytest.mark.medium
@pytest.mark.parametrize("benchmark_module", ["gpu"], indirect=True)
def test_what_a_card_does(
    benchmark_module: ModuleType, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("_gpu_clock.WARM_UP", 0)
    monkeypatch.setattr("_gpu_parts.WARM_UP_STEPS", 1)
    monkeypatch.setattr("_gpu_parts.PROFILED_STEPS", 1)
    options = ["--size", "tiny", "--device", "cpu", "--dtype", "float32", "--seconds", 1, "--steps", 1]
    done = invoked(benchmark_module, *options, "--no-compile", "--out", tmp_path)
    assert done.exit_code == 0, done.output
    result = json.loads((tmp_path / "gpu.json").read_text(encoding="utf-8"))
    timed = [row for row in result["results"] if row["seconds"] is not None]
    assert [row["part"] for row in timed] == ["demo", "step", "step", "volume", "train", "decode", "decode", "decode"]
    assert all(row["seconds"] > 0 and row["calls"] >= 3 for row in timed)
    left_out = [row for row in result["results"] if row["seconds"] is None]
    assert len(left_out) == 5 and {row["why_not"] for row in left_out} == {"it was not asked for"}
    assert result["machine"]["card"] is None
    assert "Measured in float32 on no card" in (tmp_path / "gpu.md").read_text(encoding="utf-8")
    assert "aten::" in (tmp_path / "gpu-profile-demo.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("benchmark_module", ["gpu"], indirect=True)
def test_a_part_that_fails_is_told(
    benchmark_module: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(setting: Any, budget: Any) -> Iterable[Any]:
        raise RuntimeError("no kernel image")

    monkeypatch.setitem(benchmark_module.PARTS, "step", fails)
    done = invoked(benchmark_module, "--size", "tiny", "--device", "cpu", "--only", "step", "--out", tmp_path)
    assert done.exit_code == 0, done.output
    (row,) = json.loads((tmp_path / "gpu.json").read_text(encoding="utf-8"))["results"]
    assert row["seconds"] is None and row["why_not"] == "RuntimeError: no kernel image"


@pytest.mark.parametrize("benchmark_module", ["gpu"], indirect=True)
@pytest.mark.parametrize(
    ("options", "complaint"),
    [(["--device", "cuda"], "There is no device 'cuda'"), (["--device", "cpu", "--only", "nap"], "no part 'nap'")],
)
def test_a_card_or_part_that_is_not_there(
    benchmark_module: ModuleType, options: list[str], complaint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    refused = invoked(benchmark_module, *options, "--out", tmp_path / "out")
    assert refused.exit_code == 2 and complaint in refused.output
    assert not (tmp_path / "out").exists()


@pytest.mark.medium
@pytest.mark.parametrize("benchmark_module", ["whole_volume"], indirect=True)
def test_a_whole_volume(benchmark_module: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import _speed_case  # type: ignore[import-not-found]  # beside the benchmark
    import _volume_case  # type: ignore[import-not-found]

    cases = {"_volume_case.py": _volume_case.measure, "_speed_case.py": _speed_case.measure}
    monkeypatch.setattr("_measure.in_own_process", lambda script, case, result: cases[script](case))
    done = invoked(benchmark_module, "--size", "tiny", "--steps", 1, "--dtype", "float32", "--out", tmp_path)
    assert done.exit_code == 0, done.output
    result = json.loads((tmp_path / "whole_volume.json").read_text(encoding="utf-8"))
    ours, authors = result["ours"], result["authors"]
    assert list(ours["stages"]) == ["encode", "denoise", "decode", "file"]
    assert all(seconds > 0 for seconds in ours["stages"].values()) and ours["file_bytes"] > 0
    assert authors["reckoned"]["denoise"] == 1000 * authors["step"]["seconds"]
    assert authors["reckoned"]["decode"] == 8 * authors["part_of_decoding"]["seconds"]
    total = sum(ours["stages"].values())
    assert result["times"] == pytest.approx(sum(authors["reckoned"].values()) / total)
    assert "The authors' way is reckoned" in (tmp_path / "whole_volume.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("benchmark_module", ["whole_volume"], indirect=True)
def test_a_volume_that_does_not_fit_the_memory_allowed_is_a_sentence(
    benchmark_module: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import _measure  # type: ignore[import-not-found]  # beside the benchmark
    import _volume_case

    def refused(case: object) -> None:
        raise InputError("Decoding this volume takes 3.6 GiB of memory and 3.0 GiB are allowed.")

    case = _volume_case.Case(size=benchmark_module.small_size(), steps=1)
    monkeypatch.setattr("sys.argv", ["_volume_case.py", case.model_dump_json()])
    with pytest.raises(SystemExit) as ended:
        _measure.answer(refused, _volume_case.Case)
    told = capsys.readouterr().out

    def in_own_process(script: str, case: object, result: object) -> None:
        raise CalledProcessError(int(str(ended.value)), script, output=f"a library talks\n{told}")

    monkeypatch.setattr("_measure.in_own_process", in_own_process)
    stopped = invoked(benchmark_module, "--size", "tiny", "--steps", 1, "--out", tmp_path)
    assert stopped.exit_code == 2
    assert "Left out: a volume: Decoding this volume takes 3.6 GiB" in " ".join(stopped.output.split())


@pytest.mark.parametrize("benchmark_module", ["interrupts"], indirect=True)
def test_how_an_interrupted_command_ended_is_told(benchmark_module: ModuleType) -> None:
    kind_of, ending = benchmark_module.kind_of, benchmark_module.Ending
    assert kind_of(130, "Stopped.\n") == "Stopped." and kind_of(130, "") == "130 without a word"
    assert kind_of(1, "Traceback (most recent call last):\n") == "traceback"
    assert kind_of(-2, "") == "ended by the signal" and kind_of(0, "") == "finished before"
    assert benchmark_module.summary_of([ending(12, "traceback"), ending(30, "Stopped.")]) == (
        "traceback: 1, Stopped.: 1; the last traceback at 12 ms"
    )


@pytest.mark.skipif(os.name == "nt", reason="Ctrl-C is a signal on Linux and macOS")
@pytest.mark.parametrize("benchmark_module", ["interrupts"], indirect=True)
def test_a_start_is_interrupted(benchmark_module: ModuleType) -> None:
    waiting = "import signal, sys, time; signal.pause()"
    assert benchmark_module.interrupted(("-c", waiting), 20).kind in ("traceback", "ended by the signal")
