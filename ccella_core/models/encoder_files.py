"""Where the files of a text encoder lie: a folder, or a repository in Hugging Face's cache; pickles are refused."""

from __future__ import annotations

from pathlib import Path

from ccella_core.errors import ModelError
from ccella_core.files import usable_path

PUBLISHED_ENCODER = "google/flan-t5-xxl"
FETCHED_FILES = ("*.json", "*.safetensors", "*.model", "*.txt")  # all but pickles, which are of no use
FETCH_OPTIONS = " ".join(f'--include "{pattern}"' for pattern in FETCHED_FILES)


def folder_of(source: str | Path, local_files_only: bool) -> Path:
    """The local folder of ``source``, a folder or a Hugging Face repository; ``ModelError`` if there is none."""
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    if usable_path(Path(source)).is_dir():
        return usable_path(Path(source))
    fetch = f'hf download {PUBLISHED_ENCODER} {FETCH_OPTIONS} --local-dir "{source}"'
    looked_in = Path(source)
    if isinstance(source, str):
        try:
            return Path(
                snapshot_download(source, local_files_only=local_files_only, allow_patterns=list(FETCHED_FILES))
            )
        except HFValidationError:
            pass  # not a repository's name, so it was meant as a folder
        except (LocalEntryNotFoundError, HfHubHTTPError, OSError):
            fetch = f"hf download {source} {FETCH_OPTIONS}"
            looked_in = Path(constants.HF_HUB_CACHE)
    raise ModelError(f"The text encoder {source} is not in {looked_in}. Fetch it with: {fetch}")


def refuse_pickles(folder: Path) -> None:
    """Raise ``ModelError`` unless the folder holds weights as safetensors."""
    if any(folder.glob("*.safetensors")):
        return
    if pickles := sorted(
        path.name for pattern in ("*.bin", "*.pt", "*.pth", "*.ckpt") for path in folder.glob(pattern)
    ):
        raise ModelError(
            f"The text encoder in {folder} is a pickle ({pickles[0]}), which can run code when it is read: "
            "use a copy that is saved as safetensors."
        )
    raise ModelError(f"There are no weights (*.safetensors) of a text encoder in {folder}: fetch it again.")
