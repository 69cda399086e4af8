"""A client without a worker behind it, and the files that a worker would write; for tests of what is done with them."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ccella_core.imaging.label_map import label_map
from ccella_core.imaging.volume import SyntheticVolume
from ccella_core.provenance import Provenance

SHAPE, SPACING = (12, 10, 6), (1.0, 1.0, 3.0)


def save_volume(
    folder: Path,
    name: str = "volume",
    affine: np.ndarray | None = None,
    voxels: np.ndarray | None = None,
    sequence: str = "t2w",
    **facts: Any,
) -> dict[str, Any]:
    """Save a volume as the worker does; ``facts`` go into its provenance. Returns its entry in the worker's result."""
    if voxels is None:
        voxels = np.random.default_rng(facts.get("seed", 0)).random(SHAPE)
    if affine is None:
        affine = np.diag([*SPACING, 1.0])
        affine[:3, 3] = -np.multiply(SPACING, np.subtract(voxels.shape, 1)) / 2
    made: dict[str, Any] = {
        "model_name": "tiny", "model_version": "1", "model_sha256": "0" * 64, "report": "PI-RADS 4.",
        "pathology_requested": None, "predicted_positive_probability": 0.25, "seed": 7, "scheduler": "dpm++",
        "num_inference_steps": 2, "guidance_scale": 1.0, "shape": voxels.shape, "spacing": SPACING, "device": "cpu",
        "dtype": "float32",
    }  # fmt: skip
    provenance = Provenance(**{**made, **facts})
    path = SyntheticVolume(voxels, affine, sequence, provenance).save(folder / f"{name}.nii")
    return {
        "path": str(path),
        "sidecar": str(path.with_suffix(".json")),
        "labels": None,
        "provenance": provenance.model_dump(mode="json"),
    }


def save_labels(folder: Path, name: str, *, lesion: bool = True, **facts: Any) -> dict[str, str]:
    """Save a label map as the worker does; returns what ``labels`` holds in the entries of its volumes."""
    made = Provenance(**save_volume(folder, f"{name} scratch", **facts)["provenance"])
    affine = np.diag([*SPACING, 1.0])
    affine[:3, 3] = -np.multiply(SPACING, np.subtract(SHAPE, 1)) / 2
    gland = np.zeros(SHAPE)
    gland[3:9, 2:8, 1:5] = 1
    inside = np.zeros(SHAPE)
    inside[4:6, 3:5, 2:4] = lesion
    path = label_map({"gland": gland, "lesion": inside}, affine, made).save(folder / f"{name}.nii")
    return {"path": str(path), "sidecar": str(path.with_suffix(".json"))}


class FakeClient:
    """Keeps the requests until a test answers them; ``answer_at_once`` makes every one succeed by itself, later."""

    def __init__(self) -> None:
        self.requests: dict[int, Request] = {}
        self.cancelled: list[int] = []
        self.closed = 0
        self.host = ""
        self.answer: Callable[[Request], None] | None = None
        self._numbers = itertools.count(1)

    def request(self, method: str, params: dict[str, Any], **callbacks: Callable | None) -> int:
        import qt

        number = next(self._numbers)
        self.requests[number] = Request(method, params, callbacks)
        if self.answer is not None:
            qt.QTimer.singleShot(0, lambda: self.answer(self.requests[number]))
        return number

    def cancel(self, number: int) -> None:
        self.cancelled.append(number)
        self.requests[number].fail("cancelled", "Generation was cancelled.")

    def use(self, host: str) -> None:
        self.host, self.closed = host, 0  # the next request starts anew

    def close(self) -> None:
        self.closed += 1

    @property
    def last(self) -> Request:
        return self.requests[max(self.requests)]


class Request:
    """One request, and the ways to answer it."""

    def __init__(self, method: str, params: dict[str, Any], callbacks: dict[str, Any]) -> None:
        self.method = method
        self.params = params
        self._callbacks = callbacks

    @property
    def folder(self) -> Path:
        return Path(self.params["output_dir"])

    def finish(self, *sequences: str) -> None:
        """As the worker does it: one volume a seed, or one of each of several sequences, under the name asked for."""
        first = 100 if self.params["seed"] is None else self.params["seed"]
        name = self.params.get("name") or "tiny"
        facts = {
            "report": self.params["report"],
            "pathology_requested": self.params["pathology"],
            "num_inference_steps": self.params["num_inference_steps"] or 2,
        }
        self.give(
            *[
                save_volume(self.folder, f"{name}_seed{seed}{ending}", sequence=ending[1:] or "t2w", seed=seed, **facts)
                for seed in range(first, first + self.params["count"])
                for ending in ([f"_{sequence}" for sequence in sequences] or [""])
            ]
        )

    def give(self, *volumes: dict[str, Any]) -> None:
        self._callbacks["on_result"]({"volumes": list(volumes), "seconds": 1.0, "load_seconds": 0.0})

    def fail(self, code: str, message: str, hint: str = "", *, volumes: list[dict[str, Any]] | None = None) -> None:
        """``volumes``: those that were finished before."""
        from CCELLAGeneratorLib.client.errors import ClientError

        self._callbacks["on_error"](ClientError(code, message, hint, {"volumes": volumes} if volumes else None))

    def progress(self, **event: Any) -> None:
        self._callbacks["on_progress"](event)

    def preview(self, png: bytes) -> None:
        self._callbacks["on_preview"](png)
