"""A model on disk: one folder that says what it is, where it comes from and what every file must hash to.

The layout is the one that Hugging Face Diffusers made common: `model_index.json` and a folder for each component
(`text_encoder`, `tokenizer`, `denoiser`, `autoencoder`, `scheduler`) with `config.json` and, for networks,
`model.safetensors`. Importing this module does not import torch, so that listing models is quick.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from ccella_core.config import read_json_object, validated
from ccella_core.errors import InputError, ModelError, SaveError
from ccella_core.files import READ_BLOCK_BYTES, replace_folder, sha256_of
from ccella_core.models.index import FORMAT_VERSION, ModelIndex
from ccella_core.models.untrusted import CODE_SUFFIXES, refuse_code
from ccella_core.models.weights import check_safetensors, load_config, load_state, save_component

__all__ = ["ModelFolder", "ModelIndex", "load_config", "load_state", "save_component", "write_model"]

FORMAT = "ccella-model"
INDEX_NAME = "model_index.json"
# Formats that are pickles or may hold one. The model has no use for any of them.
PICKLE_SUFFIXES = frozenset([".bin", ".ckpt", ".joblib", ".npy", ".npz", ".pickle", ".pkl", ".pt", ".pth"])

CODE_FREE_COMPONENTS = frozenset(["text_encoder", "tokenizer"])
"""Those that Transformers reads, which runs what their settings name."""
PROFILE = "report_profile"
"""The component that says how the training reports are worded, see ``report_profile``."""

NOT_DESCRIBED = {"format", "format_version", "sha256", "size_bytes", "training", "calibration"}
"""Fields of the index that are for programs."""

ByteProgress = Callable[[int, int], None]  # bytes read so far, bytes in all; may raise Cancelled


@dataclass(frozen=True)
class ModelFolder:
    """A model whose index has been read and understood; its files have not been, until `verify`."""

    path: Path
    index: ModelIndex

    @classmethod
    def open(cls, path: str | Path) -> ModelFolder:
        """Read the index of the model in the folder `path`. Raises ModelError where that cannot be done."""
        path = Path(path)
        if not path.is_dir():
            raise ModelError(f"There is no folder {path}; give the folder that holds {INDEX_NAME}.")
        file = path / INDEX_NAME
        content = read_json_object(file)
        if content.get("format") != FORMAT:
            raise ModelError(f"{file} does not describe a CCELLA model (its format is {content.get('format')!r}).")
        version = content.get("format_version")
        if isinstance(version, int) and version > FORMAT_VERSION:
            # Asked before the fields are read, because a newer format may well have others.
            raise ModelError(
                f"The model {path} was made by a newer version of this software (format {version}; this one reads "
                f"{FORMAT_VERSION} and older); update ccella-core."
            )
        return cls(path, validated(ModelIndex, content, file))

    @property
    def sha256(self) -> str:
        """One hash for the whole model: SHA-256 of the index, which holds the hash of every file, as canonical JSON.

        Keys are sorted, without spaces, in UTF-8. `measured` is left out, and the profile of the reports: what is
        known of a model does not change what it draws. So are `labels` where there are none: a model that was made
        before there were any keeps its hash.
        """
        left_out = {"measured"} if self.index.labels else {"measured", "labels"}
        content = self.index.model_dump(mode="json", exclude=left_out)
        for listed in ("components", "sha256", "size_bytes"):
            content[listed] = {name: of for name, of in content[listed].items() if name.partition("/")[0] != PROFILE}
        canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(canonical.encode("utf-8")).hexdigest()

    def component_path(self, name: str) -> Path:
        """The folder of a component. Raises ModelError where the model has none of that name."""
        if name not in self.index.components:
            has = ", ".join(sorted(self.index.components)) or "none"
            raise ModelError(f"The model {self.path} has no component {name!r}; it has {has}.")
        folder = self.path / name
        if not folder.is_dir():
            raise ModelError(f"The model {self.path} is not whole: its folder {name} is missing.")
        return folder

    def verify(self, progress: ByteProgress | None = None) -> None:
        """Read every file and compare it with the index.

        Raises:
            ModelError: a file is missing, truncated, altered, not listed, a pickle, a program or a link out of the
                folder; the first one is named.
        """
        for name in self.index.components:
            self.component_path(name)
        self._refuse_unexpected()
        for name in CODE_FREE_COMPONENTS & self.index.components.keys():
            refuse_code(self.path / name)
        total, done = sum(self.index.size_bytes.values()), 0
        for name, expected in self.index.sha256.items():
            file, size = self.path / name, self.index.size_bytes[name]
            if not file.is_file():
                raise ModelError(f"{file} is missing; get the model again.")
            actual_size = file.stat().st_size
            if actual_size < size:
                raise ModelError(f"{file} is truncated ({actual_size} of {size} bytes); get the model again.")
            if file.suffix == ".safetensors":
                check_safetensors(file)
            digest = hashlib.sha256()
            for chunk in _chunks(file):
                digest.update(chunk)
                done += len(chunk)
                if progress:
                    progress(min(done, total), total)
            if actual_size != size or digest.hexdigest() != expected:
                raise ModelError(f"{file} was altered since the model was made; get the model again.")

    def _refuse_unexpected(self) -> None:
        root = self.path.resolve()
        for name in _files(self.path):
            if not (self.path / name).resolve().is_relative_to(root):
                raise ModelError(f"{self.path / name} is a link out of the model's folder; get the model again.")
            if PurePosixPath(name).suffix.lower() in CODE_SUFFIXES:
                raise ModelError(f"{self.path / name} is a program, which a model must not hold; remove it.")
            if PurePosixPath(name).suffix.lower() in PICKLE_SUFFIXES:
                raise ModelError(f"{self.path / name} may hold a pickle, which a model must not; remove it.")
            # Libraries load what they find in a component's folder; beside the folders a README may lie.
            in_component = name.partition("/")[0] in self.index.components
            hidden = PurePosixPath(name).name.startswith(".")  # .DS_Store and its like
            if in_component and not hidden and name not in self.index.sha256:
                raise ModelError(f"{self.path / name} is not listed in {INDEX_NAME}; remove it or get the model again.")

    def describe(self) -> dict[str, Any]:
        """What a person wants to know before using the model, ready for JSON."""
        index = self.index
        size_mm = [round(n * s, 3) for n, s in zip(index.native_shape, index.native_spacing_mm, strict=True)]
        return {
            **index.model_dump(mode="json", exclude=NOT_DESCRIBED),
            "calibrated": list(index.calibration),
            "positive_means": index.training.get("positive_means"),
            "native_size_mm": size_mm,
            "file_size_bytes": sum(index.size_bytes.values()),
            "sha256": self.sha256,
            "path": str(self.path),
        }


def write_model(
    path: str | Path, index: ModelIndex, components: dict[str, Callable[[Path], None]], *, overwrite: bool = False
) -> ModelFolder:
    """Write a whole model or nothing.

    Each function in `components` writes into the empty folder that it is given. Everything is written into a folder
    beside `path` and renamed when complete. Raises InputError where the components are not those in the index,
    ModelError where one wrote a pickle, SaveError where `path` exists (unless `overwrite`, and it is a model) or the
    disk refuses.
    """
    path = Path(path)
    if components.keys() != index.components.keys():
        raise InputError(f"The index names {sorted(index.components)}, but {sorted(components)} were given to write.")
    if path.exists() and not overwrite:
        raise SaveError(f"{path} exists already; choose another folder or allow it to be overwritten.")
    if path.exists() and not (path / INDEX_NAME).is_file():
        raise SaveError(f"{path} exists and is not a model, so it is not overwritten; choose another folder.")

    try:
        with replace_folder(path) as temporary:
            for name, write in components.items():
                (temporary / name).mkdir()
                write(temporary / name)
            files = sorted(_files(temporary))
            hashes = {name: sha256_of(temporary / name) for name in files}
            sizes = {name: (temporary / name).stat().st_size for name in files}
            listed = ModelIndex(**{**index.model_dump(), "sha256": hashes, "size_bytes": sizes})
            text = listed.model_dump_json(indent=2) + "\n"
            (temporary / INDEX_NAME).write_text(text, encoding="utf-8", newline="\n")
            for name in files:
                shutil.copymode(temporary / INDEX_NAME, temporary / name)  # safetensors writes for the owner alone
            ModelFolder(temporary, listed).verify()
    except OSError as error:
        raise SaveError(f"The model could not be written to {path}: {error}.") from error
    return ModelFolder(path, listed)


def _files(folder: Path) -> Iterator[str]:
    """Every file under `folder`, as its path within, with forward slashes."""
    return (file.relative_to(folder).as_posix() for file in folder.rglob("*") if not file.is_dir())


def _chunks(file: Path) -> Iterator[bytes]:
    try:
        with file.open("rb") as stream:
            while chunk := stream.read(READ_BLOCK_BYTES):
                yield chunk
    except OSError as error:
        raise ModelError(f"{file} cannot be read: {error.strerror or error}.") from error
