"""Whatever a command is given: an exit code, a sentence, and nothing half-written."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from broken import (
    COMMAND,
    MOST_CHARACTERS,
    ODD_WORDS,
    Break,
    broken_bytes,
    broken_json,
    broken_lines,
    broken_value,
    each,
    run_command,
    within_limits,
)
from latent_cases import TINY_AUTOENCODER, tiny_autoencoder, tiny_network
from prepared_cases import prepared_case, prepared_set
from safetensors import safe_open
from safetensors.torch import save_file

from ccella_core.config import checked
from ccella_core.errors import CCELLAError
from ccella_core.files import sha256_of
from ccella_core.generation.pipeline import CCELLAPipeline
from ccella_core.imaging.scans import read_scan
from ccella_core.models.model import save_component
from ccella_core.networks import VARIANTS, AutoencoderConfig, ConditionalDenoiser, DenoiserConfig, build_autoencoder
from ccella_core.phantom.patient import draw_patient
from ccella_core.runs.checkpoint import Checkpoints
from ccella_core.training.train_config import preset

pytestmark = pytest.mark.medium

VOLUME = (12, 10, 6)


@pytest.fixture(scope="module", autouse=True)
def _everything_is_imported(tmp_path_factory: pytest.TempPathFactory) -> None:
    """So that no variant pays for it."""
    folder = tmp_path_factory.mktemp("warm")
    for network in ("denoiser", "autoencoder", "text-encoder", "classifier"):
        COMMAND.main(["train", network, str(folder / "none")], standalone_mode=False)
    COMMAND.main(["study", str(folder / "none")], standalone_mode=False)
    about = ("--licence", "x", "--intended-use", "x", "--trained-on", "x")
    COMMAND.main(["models", "export", str(folder), "--out", str(folder / "o"), *about], standalone_mode=False)
    draw_patient(0)


CONFIGURATIONS: dict[str, Any] = {
    "denoiser": preset("small-ccella") | {"data": "DATA", "output": "OUTPUT"},
    "autoencoder": {
        "data": "DATA", "output": "OUTPUT", "validate_every": 2, "loading": {"workers": 0}, "log_with": [],
        "autoencoder": {
            "network": {"latent_channels": 2, "num_channels": [8, 8], "num_res_blocks": [1, 1], "norm_num_groups": 4},
            "steps": 4, "crop": [8, 8, 8], "learning_rate": 1e-3, "adversarial_weight": 0.0, "seed": 1,
        },
    },
    "text-encoder": {
        "output": "OUTPUT", "data": "DATA",
        "text_encoder": {"vocabulary": 300, "width": 16, "layers": 1, "heads": 2, "max_tokens": 24, "steps": 2,
                         "batch_size": 2, "learning_rate": 1e-3, "seed": 0},
    },
    "classifier": {
        "output": "OUTPUT", "seeds": [0, 1],
        "train": [{"folder": "DATA", "kind": "real", "split": "train"}],
        "validation": [{"folder": "DATA", "kind": "real", "split": "validation"}],
        "classifier": {
            "network": "resnet10", "preprocessing": {"shape": [48, 48, 24], "spacing": [1.5, 1.5, 3.0]}, "steps": 300,
            "augmentation": {"translation": [3, 3, 1], "zoom": 0.1}, "batch_size": 16, "learning_rate": 3e-3,
        },
    },
    "study": {
        "output": "OUTPUT", "data": {"prepared": "DATA"}, "variants": ["ccella", "maisi"],
        "training": {"settings": {"denoiser": {"steps": 2}}}, "synthesis": {"seed": 1, "num_inference_steps": 2},
        "classifiers": {"real_counts": [2, 4], "seeds": [0], "settings": {"classifier": {"steps": 2}}},
    },
}  # fmt: skip


@pytest.mark.parametrize("network", CONFIGURATIONS)
def test_configurations(network: str, tmp_path: Path) -> None:
    """The cases that they name are not there, so that all of them are refused, most for what is broken."""
    output = tmp_path / "output"
    text = json.dumps(CONFIGURATIONS[network])
    content = json.loads(text.replace("OUTPUT", str(output)).replace("DATA", str(tmp_path / "data")))
    file = tmp_path / "config.yaml"
    command = ["study"] if network == "study" else ["train", network]
    for chance in each(1, 40):
        if chance.random() < 0.2:
            file.write_bytes(broken_bytes(chance, yaml.safe_dump(content).encode()))
        else:
            file.write_text(yaml.safe_dump(broken_value(chance, content)), encoding="utf-8")
        assert run_command(*command, file, result=output) in (1, 2)


def test_a_network_that_is_accepted_can_be_built_and_run() -> None:
    built = 0
    for chance in each(2, 80):
        draw = chance.choice
        levels = range(draw((1, 2, 2, 3)))
        channels = [draw((4, 8, 8, 12, 16)) for _ in levels]
        sizes = ("text_width", "width", "num_latents", "layers", "heads", "time_channels", "class_hidden")
        content = {
            "variant": draw(sorted(VARIANTS)),
            "unet": {
                "kind": draw(("maisi", "planar")),
                "latent_channels": draw((1, 3)),
                "num_channels": channels,
                "attention_levels": [draw((True, False)) for _ in levels],
                "num_head_channels": [draw((0, 1, 2, 4, 3)) for _ in levels],
                "num_res_blocks": draw((1, 2)),
                "norm_num_groups": draw((1, 2, 4, 3)),
                "residual_resampling": draw((True, False)),
                "attention_projection": draw((True, False)),
            },
            "adapter": {name: draw((1, 2, 3, 4)) for name in sizes},
        }
        traits = VARIANTS[content["variant"]]
        content["adapter"] = content["adapter"] if traits.uses_text else None
        content["unet"]["modality_labels"] = 3 if traits.uses_modality else None
        try:
            denoiser = checked(DenoiserConfig, content, "It")
            blocks, groups = [1 for _ in channels], draw((1, 2, 4))
            levels = {"num_channels": channels, "num_res_blocks": blocks, "norm_num_groups": groups}
            kind = {"kind": draw(("maisi", "lapped")), "block": draw((2, 4, 8)), "latent_channels": draw((1, 4))}
            autoencoder = checked(AutoencoderConfig, levels | kind, "It")
        except CCELLAError:
            continue
        sides, adapter = [2 * each for each in denoiser.unet.shape_multiples], denoiser.adapter
        with torch.device("meta"), torch.no_grad():
            ConditionalDenoiser(denoiser)(
                torch.zeros(1, denoiser.latent_channels, *sides),
                torch.zeros(1),
                text=None if adapter is None else torch.zeros(1, 4, adapter.text_width),
                class_probability=torch.zeros(1, 2) if denoiser.uses_class else None,
                modality=torch.zeros(1, dtype=torch.long) if denoiser.uses_modality else None,
                spacing=torch.ones(1, 3),
            )
            build_autoencoder(autoencoder)(torch.zeros(1, 1, *(2 * each for each in autoencoder.factors)))
        built += 1
    assert built > 4


def test_models(tiny_model: Path, tmp_path: Path) -> None:
    """Their hashes are put right again, so that what reads the parts meets what is broken."""
    files = sorted(path.relative_to(tiny_model) for path in tiny_model.rglob("*") if path.is_file())
    for number, chance in enumerate(each(3, 60)):
        model = tmp_path / f"model{number}"
        shutil.copytree(tiny_model, model)
        path = model / chance.choice(files)
        break_it: Break = broken_json if path.suffix == ".json" else broken_bytes
        path.write_bytes(break_it(chance, path.read_bytes()))
        if path.name != "model_index.json":
            index = json.loads((model / "model_index.json").read_text())
            name = path.relative_to(model).as_posix()
            index["sha256"][name], index["size_bytes"][name] = sha256_of(path), path.stat().st_size
            (model / "model_index.json").write_text(json.dumps(index))
        with within_limits((path, path.read_bytes()[:2000])):
            try:
                pipeline = CCELLAPipeline.from_pretrained(model, device="cpu", dtype="float32")
                pipeline("The prostate is enlarged.", seed=1, num_inference_steps=1)
            except CCELLAError as error:
                assert len(str(error)) < MOST_CHARACTERS
        run_command("models", "show", model)
        shutil.rmtree(model)


def test_prepared_folders(tmp_path: Path) -> None:
    folder = tmp_path / "prepared"
    prepared_set(folder, [prepared_case("a"), prepared_case("b", split="validation", pathology="negative")])
    content = {name: (folder / name).read_bytes() for name in ("prepared.json", "cases.jsonl")}
    for chance in each(4, 60):
        for name, whole in content.items():
            (folder / name).write_bytes(whole)
        name = chance.choice(sorted(content))
        (folder / name).write_bytes((broken_json if name.endswith("n") else broken_lines)(chance, content[name]))
        arguments = ("--set", f"data={folder}", "--set", f"output={tmp_path / 'run'}")
        run_command("train", "autoencoder", "--set", "autoencoder.steps=1", *arguments, result=tmp_path / "run")
        run_command("evaluate", "images", folder, folder, "--out", tmp_path / "scores", result=tmp_path / "scores")


def test_run_folders(tmp_path: Path) -> None:
    run, out = tmp_path / "run", tmp_path / "model"
    save_component(tiny_autoencoder(), TINY_AUTOENCODER, tmp_path / "autoencoder")
    network = tiny_network("radmaisi")
    config = {"data": "a", "output": str(run), "autoencoder": str(tmp_path / "autoencoder"),
              "denoiser": {"network": network.model_dump(mode="json")}}  # fmt: skip
    record = {"native_shape": [16, 16, 8], "native_spacing_mm": [1, 1, 3], "latent_scale_factor": [1.0],
              "parameters": 5, "software": {}, "data": {"cases": {}}}  # fmt: skip
    state = {"model": ConditionalDenoiser(network).state_dict(), "average": None, "step": 1, "best_score": 0.5}
    checkpoint = Checkpoints(run / "checkpoints").save(1, state)
    with safe_open(checkpoint, framework="pt") as file:
        (name, structure), tensors = *file.metadata().items(), {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    about = ("--licence", "x", "--intended-use", "x", "--trained-on", "x")
    exported = 0
    for chance in each(9, 60):
        (run / "config.yaml").write_text(yaml.safe_dump(config))
        (run / "run.json").write_text(json.dumps(record))
        save_file(tensors, checkpoint, metadata={name: structure})
        match chance.randrange(4):
            case 0:
                (run / "config.yaml").write_text(yaml.safe_dump(broken_value(chance, config)))
            case 1:
                (run / "run.json").write_bytes(broken_json(chance, json.dumps(record).encode()))
            case 2:
                broken = json.dumps(broken_value(chance, json.loads(structure)))
                save_file(tensors, checkpoint, metadata={name: broken})
            case _:
                checkpoint.write_bytes(broken_bytes(chance, checkpoint.read_bytes()))
        exported += run_command("models", "export", run, "--out", out, *about, result=out) == 0
        shutil.rmtree(out, ignore_errors=True)
    assert 0 < exported < 40
    (run / "checkpoints" / "step-zzzz.safetensors").write_bytes(b"")
    save_file(tensors, checkpoint, metadata={name: structure})
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    (run / "run.json").write_text(json.dumps(record))
    assert run_command("models", "export", run, "--out", out, *about) == 0


def _published(kind: str) -> Any:
    endless: list[Any] = []
    endless.append(endless)
    huge = torch.zeros(1).expand(100_000, 100_000)
    itself: dict[str, Any] = {"state_dict": {}}
    itself["state_dict"] = itself
    return {"list": endless, "wrapper": itself, "huge": {"encoder.blocks.0.conv.weight": huge}, "number": 5}[kind]


@pytest.mark.parametrize("kind", ["list", "wrapper", "huge", "number"])
def test_published_checkpoints_that_never_end_or_announce_too_much(kind: str, tmp_path: Path) -> None:
    torch.save(_published(kind), tmp_path / "a.pt")
    out = tmp_path / "out"
    for command in (("import-autoencoder",), ("import-extractor", "medicalnet")):
        licence = ("--licence", "x") if command == ("import-autoencoder",) else ()
        assert run_command("models", *command, tmp_path / "a.pt", "--out", out, *licence, result=out) == 2


def test_published_checkpoints(tmp_path: Path) -> None:
    torch.save(
        {"state_dict": build_autoencoder(AutoencoderConfig(num_channels=(32, 32), num_res_blocks=(1, 1))).state_dict()},
        tmp_path / "a",
    )
    whole, out = (tmp_path / "a").read_bytes(), tmp_path / "out"
    for chance in each(10, 30):
        (tmp_path / "a.pt").write_bytes(broken_bytes(chance, whole))
        command = ("models", "import-autoencoder", tmp_path / "a.pt", "--out", out, "--licence", "x")
        run_command(*command, result=out)
        shutil.rmtree(out, ignore_errors=True)


def test_tables(tmp_path: Path) -> None:
    """Of cases without images: what is read of them is left out by name."""
    row = {"patient": "p", "t2w": "a.nii.gz", "report": "PI-RADS 2.", "pathology": "negative", "pirads": 2}
    rows = [{"case": f"case{number}", **row, "split": "train"} for number in range(3)]
    lines = "\n".join(map(json.dumps, rows)).encode()
    table = "\n".join([",".join(rows[0]), *(",".join(map(str, row.values())) for row in rows)]).encode()
    authors = json.dumps({"train": [{"case": "a", "axt2": "a.nii.gz", "folder": "f", "report": "x", "pirads": 3}]})
    for chance in each(5, 60):
        name, content, break_it = chance.choice(
            [
                ("a.jsonl", lines, broken_lines),
                ("a.csv", table, broken_bytes),
                ("a.json", authors.encode(), broken_json),
            ]
        )
        (tmp_path / name).write_bytes(break_it(chance, content))
        run_command("prepare", tmp_path / name, "--out", tmp_path / "out", "--jobs", 1, result=tmp_path / "out")


def test_scans(tmp_path: Path) -> None:
    import SimpleITK as sitk  # noqa: N813

    image = sitk.GetImageFromArray(np.arange(np.prod(VOLUME), dtype=np.int16).reshape(VOLUME))
    image.SetSpacing((1.0, 1.0, 3.0))
    wholes = {}
    for name in ("a.nii", "a.nii.gz", "a.nrrd", "a.mha"):
        sitk.WriteImage(image, str(tmp_path / name), useCompression=False)
        wholes[name] = (tmp_path / name).read_bytes()
    for chance in each(6, 200):
        name = chance.choice(sorted(wholes))
        (tmp_path / name).write_bytes(broken_bytes(chance, wholes[name]))
        with within_limits(name):
            try:
                found = read_scan(tmp_path / name, lambda warning: None)
            except CCELLAError as error:
                assert name in str(error) and len(str(error)) < MOST_CHARACTERS
            else:
                assert np.isfinite(sitk.GetArrayViewFromImage(found)).all()


OPTIONS = {
    "generate": ("--report", "--report-file", "--pathology", "--seed", "--count", "--steps", "--scheduler",
                 "--guidance", "--model", "--place-on", "--memory-limit", "--device", "--dtype", "--output-range"),
    "prepare": ("--layout", "--sequences", "--seed", "--jobs", "--tokenizer", "--max-tokens", "--centre"),
    "phantom": ("--seed", "--count", "--wordings", "--jobs", "--manifest", "--format"),
    "synthesize": ("--model", "--split", "--per-case", "--seed", "--steps", "--device"),
    "models": ("show", "verify", "remove", "download"),
}  # fmt: skip


def test_command_lines(tmp_path: Path) -> None:
    """What lies beside the option cannot be used either, so that nothing slow begins where it is right by chance."""
    nothing, out = tmp_path / "nothing", tmp_path / "out"
    others = {
        "generate": ["--out", out, "--model", nothing],
        "prepare": [nothing, "--out", out],
        "phantom": ["--out", out, "--sequence", "adc", "--manifest", "train", "--seed", 1],
        "synthesize": [nothing, "--model", nothing, "--out", out],
        "models": [],
    }
    for chance in each(7, 200):
        command = chance.choice(sorted(OPTIONS))
        option = chance.choice(OPTIONS[command])
        words = [option, chance.choice(ODD_WORDS)]
        if command in ("generate", "prepare") and chance.random() < 0.3:
            words = [chance.choice(["--shape", "--spacing"]), *(chance.choice(ODD_WORDS) for _ in range(3))]
        assert run_command(command, *others[command], *words, result=out) in (1, 2)
