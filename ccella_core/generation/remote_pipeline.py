"""A pipeline whose model and graphics card are on another computer."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, get_args

from ccella_core.client.connection import Connection
from ccella_core.client.transfer import ReceivedFiles
from ccella_core.errors import ModelError
from ccella_core.generation.options import GenerationKeywords, GenerationOptions, read_options
from ccella_core.imaging.label_map import LabelMap
from ccella_core.imaging.volume import SyntheticVolume
from ccella_core.progress import GenerationStage, Progress, ProgressCallback

if TYPE_CHECKING:
    from typing_extensions import Unpack

DEFAULT_MODEL = "ccella-demo"


class RemotePipeline:
    """What ``CCELLAPipeline.connect`` gives. The connection is opened at once, and again where it was lost.

    The reports that it is called with leave this computer for the host. Nothing is left there: volumes come back
    through the connection and are never written to a disk on the way.

    Args:
        host: ``user@host``, or a name of the user's SSH configuration.
        model: a name, or a folder there.
        device: there.

    Raises:
        InputError: no name of a host.
        RemoteError: it cannot be reached, has no ``ccella``, or one of another release.
    """

    def __init__(self, host: str, *, model: str = DEFAULT_MODEL, device: str = "auto") -> None:
        self.model = str(model)
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
        callback: ProgressCallback | None = None,
        **keywords: Unpack[GenerationKeywords],
    ) -> list[SyntheticVolume]:
        """Generate there, as ``CCELLAPipeline`` does here; previews are left out.

        Raises:
            RemoteError: the connection was lost; the next call makes another.
            CCELLAError: what ``CCELLAPipeline`` raises.
        """
        options = read_options(options, **keywords)
        params = {**options.model_dump(mode="json"), "report": report, "model": self.model, "device": self.device}
        with tempfile.TemporaryDirectory() as folder:
            files = ReceivedFiles(Path(folder))

            def hear(event: dict[str, Any]) -> bool | None:
                if event["event"] == "file":
                    files.take(event)
                elif event["event"] == "progress" and event["stage"] in get_args(GenerationStage) and callback:
                    return callback(_progress(event))
                return None

            value = files.here(self._connect().request("generate", params, hear))
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


def _progress(event: dict[str, Any]) -> Progress:
    return Progress(
        event["stage"], event["step"], event["steps"], event["volume"] - 1, event["volumes"], event["seconds_left"]
    )
