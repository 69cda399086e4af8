"""docs/tools/patients.py: reports of what is known and nothing else, and refusals of what does not fit the recipe."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from ccella_core.cases.manifest import read_manifest
from ccella_core.config import read_settings
from ccella_core.errors import InputError
from ccella_core.networks.config import volume_multiples
from ccella_core.training.data.mirror import mirrored_report
from ccella_core.training.start import adds_expected
from ccella_core.training.train_autoencoder import AutoencoderConfigFile
from ccella_core.training.train_config import TrainConfig
from ccella_core.training.train_text_encoder import TextEncoderConfigFile

COLUMNS = ["case", "patient", "collection", "doi", "licence", "t2w", "adc", "hbv", "gland", "endorectal_coil",
           "scanner", "age_years", "gland_volume_ml", "findings"]  # fmt: skip
FINDINGS = [
    {"fid": "1", "zone": "PZ", "clinsig": True, "side": "right", "level": "mid", "ap": "posterior", "ggg": 3},
    {"fid": "2", "zone": "AS", "clinsig": False, "side": "midline", "level": "apex", "ijk_in_crop": [1.0, 2.0, 3.0]},
]
ROOT = Path(__file__).parents[1]
SHARED = Path(__file__).parents[2] / "shared" / "data" / "patients"


@pytest.fixture(scope="module")
def tool(docs_tool: Callable[[str], ModuleType]) -> ModuleType:
    return docs_tool("patients")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Three patients of which something different is known each, with images that are empty files."""
    rows = [
        ["A", "pa", "PROSTATEx", "10/x", "CC BY 3.0", "a.nii", "b.nii", "b.nii", "a.nii", "no", "Siemens Skyra 3T",
         "63", "39.7", json.dumps(FINDINGS)],
        ["B", "pb", "Coils", "10/c", "CC BY 3.0", "a.nii", "", "", "a.nii", "yes", "Philips Achieva 1.5T", "", "31",
         ""],
        # Of this collection findings are biopsy targets: nothing that is known of a lesion.
        ["C", "pc", "Targets", "10/t", "CC BY 4.0", "a.nii", "", "", "a.nii", "no", "Scanner", "70", "312.9",
         json.dumps(FINDINGS[:1])],
    ]  # fmt: skip
    for name in ("a.nii", "b.nii"):
        (tmp_path / name).touch()
    write(tmp_path / "manifest.csv", [COLUMNS, *rows])
    return tmp_path


def write(path: Path, rows: list[list[str]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)


def recipe_of(tool: ModuleType, path: Path, **changes: str) -> object:
    """The three patients; ``changes``: ``A_split="validation"``."""
    columns = ["case", "patient", "collection", "doi", "licence", "split"]
    rows = [
        ["A", "pa", "PROSTATEx", "10/x", "CC BY 3.0", "train"], ["B", "pb", "Coils", "10/c", "CC BY 3.0", "train"],
        ["C", "pc", "Targets", "10/t", "CC BY 4.0", "validation"],
    ]  # fmt: skip
    for row in rows:
        for place, column in enumerate(columns):
            row[place] = changes.get(f"{row[0]}_{column}", row[place])
    write(path, [columns, *rows])
    return tool.read_recipe(path)


def test_reports_say_what_is_known_and_nothing_else(tool, data):
    recipe = recipe_of(tool, data / "recipe.csv")
    cases, refused, _ = read_manifest(tool.patients_manifest(data, data / "out.jsonl", recipe))
    assert not refused
    a, b, c = cases
    assert all(case.report_source == "written" and len(case.reports) >= 4 for case in cases)
    for report in a.reports:
        assert "3 T, no endorectal coil" in report and "63" in report and "40 m" in report.replace("cc", "mL")
        assert "clinically significant" in report and "ISUP grade group 3" in report and "right" in report
        assert "left" in mirrored_report(report) and "midline" not in report and "left" not in report
    assert (a.pathology, a.positive_means, sorted(a.images)) == ("positive", "cspca", ["adc", "hbv", "t2w"])
    assert [(each.side, each.zone, each.level, each.significant) for each in a.fields.lesions] == [
        ("right", "peripheral", "mid", True), (None, None, "apex", False),
    ]  # fmt: skip
    for report in b.reports:
        assert "1.5 T with endorectal coil" in report and "31" in report
    for case in (b, c):
        assert case.pathology is None and case.fields.lesions is None
        for report in case.reports:
            for word in ("esion", "cancer", "suspicious", "significant", "PI-RADS", "ISUP", "PSA", "left", "right"):
                assert word not in report
    assert c.fields.gland_volume_ml is None and "312" not in c.reports[0], "more than a report can hold"
    assert [case.split for case in cases] == ["train", "train", "validation"]


def test_the_attribution_has_every_collection_that_was_trained_on(tool, data):
    said = tool.attribution(recipe_of(tool, data / "recipe.csv"))
    assert "2 patients" in said and "1 of Coils (CC BY 3.0, https://doi.org/10/c)" in said and "Targets" not in said


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"B_licence": "CC BY 4.0"}, r"B: its licence is 'CC BY 3\.0' there and 'CC BY 4\.0' in the recipe"),
        ({"C_patient": "px"}, "C: its patient is 'pc' there and 'px'"),
        ({"C_case": "D"}, r"lacks 1 of the 3 patients of the recipe \(D\)"),
        ({"C_patient": "pa"}, "The patient pa stands in two splits, train and validation"),
        ({"B_split": "test"}, "recipe.csv, line 3: split"),
        ({"B_case": "A"}, "names A twice"),
    ],
)
def test_what_does_not_fit_the_recipe_is_refused_and_nothing_written(tool, data, changes, words):
    with pytest.raises(InputError, match=words):
        tool.patients_manifest(data, data / "out.jsonl", recipe_of(tool, data / "recipe.csv", **changes))
    assert not (data / "out.jsonl").exists()


def test_a_missing_image_or_table_is_named(tool, data):
    recipe = recipe_of(tool, data / "recipe.csv")
    (data / "b.nii").unlink()
    with pytest.raises(InputError, match=r"1 patients .* cannot be used \(A: hbv: there is no"):
        tool.patients_manifest(data, data / "out.jsonl", recipe)
    (data / "manifest.csv").unlink()
    with pytest.raises(InputError, match=r"There is no file .*manifest\.csv"):
        tool.patients_manifest(data, data / "out.jsonl", recipe)
    assert not (data / "out.jsonl").exists()


def test_the_recipe_holds_out_patients_of_every_kind(tool):
    recipe = tool.read_recipe()
    held_out = Counter(each.collection for each in recipe if each.split == "validation")
    assert len(recipe) == 77 and held_out == {"PROSTATEx": 4, "Prostate-3T": 4, "PROSTATE-DIAGNOSIS": 4}
    assert all(each.licence.startswith("CC BY") and each.doi.startswith("10.7937/") for each in recipe)


@pytest.mark.skipif(not SHARED.is_dir(), reason="the patients' images are not here")
def test_the_patients_of_the_recipe_become_cases(tool, tmp_path):
    cases, refused, _ = read_manifest(tool.patients_manifest(SHARED, tmp_path / "all.jsonl", tool.read_recipe()))
    assert len(cases) == 77 and not refused
    with_findings = [case for case in cases if case.fields.lesions]
    assert len(with_findings) == 12 and sum(case.pathology == "positive" for case in with_findings) == 4
    assert sum("adc" in case.images for case in cases) == 10  # the table of the export says 11
    assert sum("adc" in case.images and case.split == "validation" for case in cases) == 4
    assert sum("with endorectal coil" in case.reports[0] for case in cases) == 32


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("autoencoder", AutoencoderConfigFile),
        ("decoder", AutoencoderConfigFile),
        ("text_encoder", TextEncoderConfigFile),
        ("denoiser", TrainConfig),
        ("denoiser_on_lesions", TrainConfig),
        ("denoiser_by_words", TrainConfig),
    ],
)
def test_the_recipe_of_a_training_is_accepted(name, model):
    config = read_settings(model, ROOT / "Resources" / "Recipes" / "ccella-demo" / f"{name}.yaml")
    assert config.name.startswith("ccella-demo")


def test_the_parts_of_the_recipe_fit_each_other():
    folder = ROOT / "Resources" / "Recipes" / "ccella-demo"
    autoencoder = read_settings(AutoencoderConfigFile, folder / "autoencoder.yaml")
    decoder = read_settings(AutoencoderConfigFile, folder / "decoder.yaml")
    assert decoder.autoencoder.network.model_copy(update={"detail": None}) == autoencoder.autoencoder.network
    denoiser = read_settings(TrainConfig, folder / "denoiser.yaml")
    parts = (*denoiser.sequences, *denoiser.labels)
    assert parts == (*autoencoder.sequences, *autoencoder.labels) == ("t2w", "hbv", "adc", "gland", "lesion")
    each = autoencoder.autoencoder.network
    assert denoiser.denoiser.network.latent_channels == len(parts) * each.latent_channels
    multiples = volume_multiples(each, denoiser.denoiser.network.unet)
    assert all(size % multiple == 0 for size, multiple in zip((128, 128, 20), multiples, strict=True))
    further = read_settings(TrainConfig, folder / "denoiser_on_lesions.yaml")
    assert Path(str(further.start_from)) == denoiser.output and further.cache == denoiser.cache
    assert further.denoiser.network == denoiser.denoiser.network
    last = read_settings(TrainConfig, folder / "denoiser_by_words.yaml")
    assert Path(str(last.start_from)) == further.output and last.cache == denoiser.cache and last.read_first is not None
    assert adds_expected(denoiser.denoiser.network, last.denoiser.network)
