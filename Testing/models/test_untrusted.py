"""What a text encoder's folder must not hold: refused by name, before anything of it is loaded or asked about."""

from __future__ import annotations

import json
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from ccella_core.errors import ModelError
from ccella_core.models.untrusted import refuse_code

PLAIN = {"model_type": "t5", "d_model": 8, "_attn_implementation": "sdpa", "task_specific_params": {"a": [{"b": 1}]}}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path / "config.json", PLAIN)
    write(tmp_path / "tokenizer_config.json", {"tokenizer_class": "T5Tokenizer", "auto_map": None})
    (tmp_path / "model.safetensors").write_bytes(b"")
    (tmp_path / "README.md").write_text("import os")
    return tmp_path


def write(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")


def test_weights_and_numbers_are_accepted(folder: Path) -> None:
    refuse_code(folder)


@pytest.mark.parametrize("name", ["modeling_mine.py", "deep/er/tool.PY", "x.pyc", "lib.so", "start.sh", "run.exe"])
def test_programs_are_refused_by_name(folder: Path, name: str) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("raise SystemExit", encoding="utf-8")
    with pytest.raises(ModelError, match=rf"{Path(name).name} is a program, which a model must not hold"):
        refuse_code(folder)


@pytest.mark.parametrize("file", ["config.json", "tokenizer_config.json", "processor_config.json"])
@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"auto_map": {"AutoModel": "modeling_mine.Mine"}}, r"own \(auto_map\)"),
        ({"inner": [{"auto_map": {"AutoTokenizer": ["a.B", None]}}]}, r"own \(auto_map\)"),
        ({"custom_pipelines": {"x": {"impl": "y.z"}}}, r"own \(custom_pipelines\)"),
        ({"trust_remote_code": True}, r"to be run \(trust_remote_code\)"),
        ({"quantization_config": {"quant_method": "gptq"}}, "quantisation plug-in"),
        ({"attn_implementation": "kernels-community/flash"}, "implementation 'kernels-community/flash'"),
        ({"_attn_implementation_internal": "flash_attention_2"}, "implementation 'flash_attention_2'"),
        ({"text_config": {"_attn_implementation": {"decoder": "a/b"}}}, "implementation"),
        ({"experts_implementation": ["eager"]}, "implementation"),
    ],
)
def test_settings_that_run_or_fetch_are_refused(folder: Path, file: str, settings: dict[str, Any], said: str) -> None:
    write(folder / file, {**PLAIN, **settings})
    with pytest.raises(ModelError, match=f"{file}.*{said}"):
        refuse_code(folder)


def test_an_adapter_is_refused(folder: Path) -> None:
    write(folder / "adapter_config.json", {"base_model_name_or_path": "somebody/else"})
    with pytest.raises(ModelError, match=r"adapter_config\.json loads weights of another model"):
        refuse_code(folder)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"weight_map": {"a": "model.bin"}}, "'model.bin'; only safetensors in the same folder"),
        ({"weight_map": {"a": "../model.safetensors"}}, "only safetensors in the same folder"),
        ({"weight_map": {"a": "/model.safetensors"}}, "only safetensors in the same folder"),
        ({"weight_map": {"a": "..\\model.safetensors"}}, "only safetensors in the same folder"),
        ({"weight_map": {"a": "model-2.safetensors"}}, r"model-2\.safetensors is missing"),
        ({"weight_map": {"a": 3}}, "only safetensors in the same folder"),
        ({"weight_map": []}, "holds no weight_map"),
        ({}, "holds no weight_map"),
    ],
)
def test_weights_elsewhere_are_refused(folder: Path, content: dict[str, Any], said: str) -> None:
    write(folder / "model.safetensors.index.json", content)
    with pytest.raises(ModelError, match=said):
        refuse_code(folder)


def test_settings_that_are_no_settings_are_refused(folder: Path) -> None:
    (folder / "config.json").write_text("[" * 100_000, encoding="utf-8")
    with pytest.raises(ModelError, match=r"config\.json is not JSON"):
        refuse_code(folder)


@pytest.mark.parametrize("component", ["text_encoder", "tokenizer"])
@pytest.mark.parametrize("listed", [True, False], ids=["listed with its hash", "not verified"])
def test_code_of_a_model_is_never_run_and_nobody_is_asked(
    tiny_model: Path, tmp_path: Path, component: str, listed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ccella_core.generation.pipeline import CCELLAPipeline
    from ccella_core.models.model import ModelFolder, write_model

    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("the user was asked"))
    ran = tmp_path / "ran"
    copy = tmp_path / "copy"
    shutil.copytree(tiny_model, copy)
    inside = copy / component
    (inside / "mine.py").write_text(f"open({str(ran)!r}, 'w').close()\nclass Mine: pass\n", encoding="utf-8")
    name = "config.json" if component == "text_encoder" else "tokenizer_config.json"
    settings = json.loads((inside / name).read_text(encoding="utf-8"))
    classes = dict.fromkeys(["AutoConfig", "AutoModel", "AutoModelForTextEncoding", "AutoTokenizer"], "mine.Mine")
    write(inside / name, {**settings, "auto_map": classes, "model_type": "mine", "tokenizer_class": "Mine"})
    if listed:
        index = ModelFolder.open(copy).index
        folders = {each: copy / each for each in index.components}
        writers = {each: partial(_copy_into, folder) for each, folder in folders.items()}
        with pytest.raises(ModelError, match=r"mine\.py is a program"):
            write_model(tmp_path / "other", index, writers)
    with pytest.raises(ModelError, match=r"mine\.py is a program"):
        CCELLAPipeline.from_pretrained(copy, device="cpu", verify=listed)
    assert not ran.exists()
    (inside / "mine.py").unlink()
    with pytest.raises(ModelError, match=r"auto_map|was altered"):
        CCELLAPipeline.from_pretrained(copy, device="cpu", verify=listed)


def _copy_into(source: Path, target: Path) -> None:
    shutil.copytree(source, target, dirs_exist_ok=True)
