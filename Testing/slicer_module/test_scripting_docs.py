"""docs/scripting.md does what it says: every example runs, with the real worker and the demonstration model."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import slicer

pytestmark = pytest.mark.slow

PAGE = Path(__file__).parents[2] / "docs" / "scripting.md"
FEW_STEPS = 2  # the examples use the model's own number, which is not what is tested here


class Page:
    """The page as a person works through it at the console."""

    text = PAGE.read_text(encoding="utf-8")

    def __init__(self, bench: Any, printed: pytest.CaptureFixture[str]) -> None:
        self.bench = bench
        self.names: dict[str, Any] = {}
        self._printed = printed
        bench.load_module()
        # Slicer's console has these two.
        exec("import qt, slicer", self.names)
        self.scan = slicer.util.addVolumeFromArray(
            np.random.default_rng(0).gamma(2.0, 100.0, (20, 30, 40)), np.diag([0.6, 0.6, 3, 1]), "T2 of the patient"
        )

    def run(self, heading: str) -> str:
        """Run the examples below a heading, wait for what they began, and return what was printed."""
        (section,) = re.findall(rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", self.text, re.MULTILINE | re.DOTALL)
        examples = re.findall(r"^```python\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
        assert examples
        self._printed.readouterr()
        for example in examples:
            exec(compile(example, f"{PAGE.name}: {heading}", "exec"), self.names)
            self.bench.wait_until(self._nothing_is_under_way)
        return self._printed.readouterr().out

    def _nothing_is_under_way(self) -> bool:
        return self.names["logic"]._client.state in ("ready", "stopped")


@pytest.fixture
def page(slicer_bench: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Page:
    page = Page(slicer_bench, capsys)
    from CCELLAGeneratorLib.client.client import WorkerClient

    request = WorkerClient.request

    def request_few_steps(client: Any, method: str, params: dict[str, Any], **callbacks: Any) -> int:
        if method == "generate":
            params = {**params, "num_inference_steps": FEW_STEPS}
        return request(client, method, params, **callbacks)

    monkeypatch.setattr(WorkerClient, "request", request_few_steps)
    return page  # the worker ends with the module, when the bench is taken down


def test_the_examples(page: Page) -> None:
    printed = page.run("One volume")
    volume = page.names["volume"]
    assert printed.strip() == volume.GetName() == "SYNTHETIC t2w seed 7 (ccella-demo)"

    printed = page.run("How a volume was made")
    assert re.search(r"reads the report as \d+% positive", printed)
    assert f"7 ccella-demo {volume.GetAttribute('CCELLA.ModelSha256')} {FEW_STEPS}" in printed

    printed = page.run("As DICOM")
    assert printed.split()[-1] == str(slicer.util.arrayFromVolume(volume).shape[0])

    page.run("On a real scan")
    replaced, second = page.names["placed"]
    assert [node.GetAttribute("CCELLA.Seed") for node in (replaced, second)] == ["8", "8"]
    assert replaced.GetAttribute("CCELLA.PathologyRequested") == "negative"
    assert centre(replaced) == pytest.approx(centre(page.scan), abs=1e-3)
    assert np.abs(slicer.util.arrayFromVolume(replaced)).std() > 0

    assert page.run("Edit a real scan").startswith("SYNTHETIC (EDITED FROM ")
    (before, after) = (slicer.util.arrayFromVolume(node) for node in (page.scan, page.names["edited"]))
    assert 0 < (before != after).mean() < 0.2
    printed = page.run("When something goes wrong")
    assert printed.startswith("model\n") and "no-such-model" in printed

    printed = page.run("In the background")
    assert "denoise 2 of 2" in printed and "finished: SYNTHETIC t2w seed 9 (ccella-demo)" in printed

    printed = page.run("Cancel")
    assert printed.strip().startswith("failed: cancelled")

    printed = page.run("A table of reports")
    assert "case 1 done ['SYNTHETIC case 1 t2w seed 1 (ccella-demo)', 'SYNTHETIC case 1 hbv seed 1" in printed
    assert "case 2 done" in printed and printed.rstrip().endswith("['skipped', 'skipped']")
    files = {path.name for path in (page.names["folder"] / "volumes").iterdir()}
    assert {"SYNTHETIC_case 1_seed1_t2w.nii", "SYNTHETIC_case 2_seed2_adc.nii", "results.csv"} < files
    assert len(files) == 1 + 2 * 2 * 4  # of each case three volumes and a label map, with a sidecar each

    printed = page.run("Models, lengths, estimates")
    for answer in ("'models'", "'tokens'", "'seconds'"):
        assert answer in printed
    assert len(printed.splitlines()) == 3


def centre(node: Any) -> list[float]:
    bounds = [0.0] * 6
    node.GetRASBounds(bounds)
    return [(bounds[axis] + bounds[axis + 1]) / 2 for axis in (0, 2, 4)]


def test_every_argument_is_on_the_page(page: Page) -> None:
    page.names["logic"] = logic = slicer.util.getModuleLogic("CCELLAGenerator")
    for method in (logic.process, logic.processBatch):
        missing = [name for name in inspect.signature(method).parameters if f"`{name}`" not in page.text]
        assert not missing
