"""The panel on the bench, with a client that answers as it is told and packages that are or are not installed."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
from fake_client import FakeClient, Request

DEMO: dict[str, Any] = {
    "name": "ccella-demo", "version": "1.0.0", "path": "/models/ccella-demo", "origin": "shipped",
    "licence": "Apache-2.0", "intended_use": "Teaching. Not for diagnosis.", "description": "A small model.",
    "variant": "ccella", "sequences": ["t2w"], "native_shape": [96, 96, 32], "native_spacing_mm": [1.0, 1.0, 3.0],
    "default_num_inference_steps": 30, "default_scheduler": "dpm++", "max_report_tokens": 256, "reads_report": True,
    "size_bytes": 27_000_000, "deletable": False, "problem": None,
}  # fmt: skip
CPU = {"id": "cpu", "name": "CPU, 8 cores", "memory_gib": 16.0, "free_gib": 12.5}
GPU = {"id": "cuda:0", "name": "NVIDIA RTX 4090", "memory_gib": 24.0, "free_gib": 22.1}
PAUSE_MS = 20
"""Of the panel's questions: enough to tell one question from many."""
FITS = {
    "seconds": 4.0, "memory_gib": 0.5, "available_gib": 12.5, "fits": True, "basis": "measured",
    "device": "CPU, 8 cores",
}  # fmt: skip


class PanelClient(FakeClient):
    """Answers questions by itself, from ``replies`` by their method; jobs wait for the test."""

    def __init__(self) -> None:
        super().__init__()
        self._callbacks: dict[str, dict[str, Any]] = {}
        self.replies: dict[str, Any] = {
            "describe": {"models": [DEMO], "devices": [GPU, CPU], "schedulers": ["dpm++"]},
            "count_tokens": {"tokens": 12, "limit": 256, "truncated": False, "outside": None},
            "estimate": FITS,
        }

    def request(self, method: str, params: dict[str, Any], **callbacks: Any) -> int:
        import qt

        number = super().request(method, params, **callbacks)
        self._callbacks[method] = callbacks
        if method in self.replies:
            reply = self.replies[method]
            qt.QTimer.singleShot(0, lambda: self.closed or callbacks["on_result"](reply))
        return number

    def set_models(self, *changes: dict[str, Any]) -> None:
        """What the worker will find: a model for each argument, which says how it differs from the demonstration's."""
        self.replies["describe"] = {**self.replies["describe"], "models": [{**DEMO, **change} for change in changes]}

    def asked(self, method: str) -> list[dict[str, Any]]:
        """The parameters of every request of that method, in order."""
        return [request.params for request in self.requests.values() if request.method == method]

    def reply(self, method: str, value: Any) -> None:
        """Answer the last request of that method."""
        self._callbacks[method]["on_result"](value)

    def job(self, method: str = "generate") -> Request:
        """The last request of that method."""
        return [request for request in self.requests.values() if request.method == method][-1]


class PanelCase:
    """The open panel and what lies behind it."""

    def __init__(self, bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        bench.load_module()
        from CCELLAGeneratorLib import dependencies
        from CCELLAGeneratorLib.client import client
        from CCELLAGeneratorLib.panel import debounced

        self.bench = bench
        self.client = PanelClient()
        self.missing: list[str] = []
        self.agrees = True
        monkeypatch.setattr(debounced, "PAUSE_MS", PAUSE_MS)
        for module in (sys.modules["CCELLAGenerator"], client):  # the second for when the first is reloaded
            monkeypatch.setattr(module, "WorkerClient", self._new_client)
        monkeypatch.setattr(dependencies, "missing", lambda: list(self.missing))
        monkeypatch.setattr(dependencies, "ensure", self._install)

    def _new_client(self, *_arguments: Any) -> PanelClient:
        if self.client.closed:
            self.client = PanelClient()
        return self.client

    def _install(self, *_arguments: Any, **_options: Any) -> bool:
        if self.agrees:
            self.missing.clear()
        return not self.missing

    def open(self) -> PanelCase:
        """The user turns to the module; what the worker is asked at once is answered."""
        self.bench.open_module()
        return self.look_again()

    def look_again(self) -> PanelCase:
        """The panel that is there now, which after a reload is another one."""
        import slicer

        self.widget = slicer.util.getModuleWidget("CCELLAGenerator")
        self.ui = self.widget.ui
        self.settle()
        return self

    @property
    def parameters(self) -> Any:
        return self.widget.logic.getParameterNode()

    def settle(self) -> None:
        """Wait until the panel has asked what it wants to ask, and was answered."""
        for _question_and_answer in range(3):  # an answer may lead to the next question
            self.bench.process_events(2 * PAUSE_MS / 1000)

    def generate(self, report: str = "PI-RADS 4.") -> Request:
        """Type a report and press the button."""
        self.ui.reportEdit.plainText = report
        self.ui.generateButton.click()
        return self.client.job()

    @staticmethod
    def add_scan(shift: float = 0.0) -> Any:
        """A real scan in the scene, 12 × 10 × 18 mm around the origin or ``shift`` mm to the left of it."""
        import slicer

        voxels = np.random.default_rng(1).integers(0, 800, (6, 10, 12)).astype(np.int16)
        to_world = np.diag([1.0, 1.0, 3.0, 1.0])
        to_world[:3, 3] = shift - 6.0, -5.0, -9.0
        return slicer.util.addVolumeFromArray(voxels, to_world, "T2 of a patient")


@pytest.fixture
def case(slicer_bench: Any, monkeypatch: pytest.MonkeyPatch) -> PanelCase:
    """The module is loaded and its panel not yet open: ``case.open()``."""
    return PanelCase(slicer_bench, monkeypatch)


@pytest.fixture
def panel(case: PanelCase) -> PanelCase:
    """The open panel, with everything installed."""
    return case.open()
