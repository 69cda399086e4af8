"""A pipeline whose model and graphics card are on another computer."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, get_args

from ccella_core.client.connection import Connection
from ccella_core.client.transfer import SCAN_SUFFIX, ReceivedFiles, bare_nrrd, chunks_of
from ccella_core.errors import InputError, ModelError
from ccella_core.generation.edit import edit_of
from ccella_core.generation.options import GenerationKeywords, GenerationOptions, read_options
from ccella_core.imaging.label_map import LabelMap
from ccella_core.imaging.volume import SyntheticVolume
from ccella_core.models.search import DOWNLOAD_COMMAND, HUB_PREFIX
from ccella_core.progress import GenerationStage, Progress, ProgressCallback

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ccella_core.generation.edit import ScanToEdit, Source, Sphere
    from ccella_core.provenance import SequenceName

DEFAULT_MODEL = "ccella-demo"


class RemotePipeline:
    """What ``CCELLAPipeline.connect`` gives. The connection is opened at once, and again where it was lost.

    The reports that it is called with, and the scans that it is to edit, leave this computer for the host. Nothing is
    left there: scans and volumes go through the connection and are never written to a disk on the way.

    Args:
        host: ``user@host``, or a name of the user's SSH configuration.
        model: a name, or a folder there.
        device: there.

    Raises:
        InputError: no name of a host, or a model of the Hub.
        RemoteError: it cannot be reached, has no ``ccella``, or one of another release.
    """

    def __init__(self, host: str, *, model: str = DEFAULT_MODEL, device: str = "auto") -> None:
        self.model = str(model)
        if self.model.startswith(HUB_PREFIX):
            command = DOWNLOAD_COMMAND.format(reference=self.model)
            raise InputError(
                f"{self.model} is fetched by the other computer itself: run {command} there, and give the model's name."
            )
        self.device = device
        self._connection = Connection(host)

    def __enter__(self) -> RemotePipeline:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def host(self) -> str:
        """As it was given."""
        return self._connection.host

    def close(self) -> None:
        """End the connection, and with it the process there."""
        self._connection.close()

    def describe_model(self) -> dict[str, Any]:
        """What the host tells of the model, as ``describe`` in ``docs/worker.md``. Raises ModelError: it has none."""
        folders = [self.model] if any(separator in self.model for separator in "/\\") else []
        models = self._connect().request("describe", {"model_folders": folders})["models"]
        found = next((each for each in models if self.model in (each["name"], each["path"])), None)
        if found is None or found["problem"]:
            names = ", ".join(each["name"] for each in models if not each["problem"])
            reason = f": {found['problem']}" if found else f"; there are: {names or 'none'}."
            raise ModelError(f"There is no model {self.model} to use on {self.host}{reason}")
        return dict(found)

    def __call__(
        self,
        report: str | None = None,
        options: GenerationOptions | None = None,
        *,
        image: ScanToEdit | Source | Mapping[SequenceName, Source] | None = None,
        mask: Source | Sphere | None = None,
        callback: ProgressCallback | None = None,
        **keywords: Unpack[GenerationKeywords],
    ) -> list[SyntheticVolume]:
        """Generate there, or edit a scan, as ``CCELLAPipeline`` does here; previews are left out.

        Of a scan, grid and voxels are sent, and no other word that its file may hold.

        Raises:
            RemoteError: the connection was lost; the next call makes another.
            CCELLAError: what ``CCELLAPipeline`` raises.
        """
        options = read_options(options, **keywords)
        edit = None if image is None and mask is None else edit_of(image, mask, self.describe_model()["sequences"])
        params: dict[str, Any] = {
            **options.model_dump(mode="json"),
            "report": report,
            "model": self.model,
            "device": self.device,
        }
        with tempfile.TemporaryDirectory() as folder:
            files = ReceivedFiles(Path(folder))

            def hear(event: dict[str, Any]) -> bool | None:
                if event["event"] == "file":
                    files.take(event)
                elif event["event"] == "progress" and event["stage"] in get_args(GenerationStage) and callback:
                    return callback(_progress(event))
                return None

            connection = self._connect()
            if edit is not None:
                params.update(_sent(edit, connection, Path(folder)))
            value = files.here(connection.request("generate", params, hear))
            labels = {entry["labels"]["path"] for entry in value["volumes"] if entry["labels"]}
            maps = {path: LabelMap.load(path) for path in labels}
            return [
                replace(SyntheticVolume.load(entry["path"]), labels=entry["labels"] and maps[entry["labels"]["path"]])
                for entry in value["volumes"]
            ]

    def _connect(self) -> Connection:
        if not self._connection.alive:
            self._connection = Connection(self.host)
        return self._connection


def _sent(edit: ScanToEdit, connection: Connection, folder: Path) -> dict[str, Any]:
    """Send scans and mask; ``folder`` holds them meanwhile, on this computer. Returns the parameters that name them."""
    import SimpleITK as sitk  # noqa: N813 - the name SimpleITK's own documentation uses

    def send(image: sitk.Image, part: str) -> str:
        path = folder / f"{part}{SCAN_SUFFIX}"
        sitk.WriteImage(image, str(path), useCompression=False)
        for chunk in chunks_of(path.name, bare_nrrd(path.read_bytes())):
            connection.request("send", chunk)
        return path.name

    image = {sequence: send(scan, sequence) for sequence, scan in edit.scans.items()}
    return {"image": image, "mask": None if edit.mask is None else send(edit.mask, "mask")}


def _progress(event: dict[str, Any]) -> Progress:
    return Progress(
        event["stage"], event["step"], event["steps"], event["volume"] - 1, event["volumes"], event["seconds_left"]
    )
