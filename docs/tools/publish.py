"""Writes the repository that is published as the extension: this tree as one commit, checked as the index checks it.

``python docs/tools/publish.py [--out build/SlicerCCELLAGenerator]``, or ``make publish``

The Extension Manager counts a checkout and its history against 100 MB, and the history here holds every model that was
ever committed. What is published is therefore a fresh repository, without the large data of the tests. Nothing is
pushed: what a person pushes where is printed at the end.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NAME = "CCELLAGenerator"
LEFT_OUT = ("Testing/data/",)
"""Reference numbers, which the extension does not need; the tests that read them skip, saying so."""
MOST_BYTES = 80_000_000
"""Of checkout and history together; the index's own limit is 100 MB."""
RAW = "https://raw.githubusercontent.com/ccella/SlicerCCELLAGenerator/main/"
ICON_PIXELS = (128, 128)
ENTRY_FIELDS = {"$schema", "build_dependencies", "build_subdirectory", "category", "scm_revision", "scm_url", "tier"}


def git(folder: Path, *arguments: str) -> str:
    """What git prints in a folder; its message ends the program where it fails."""
    done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, encoding="utf-8")
    if done.returncode:
        sys.exit(f"git {arguments[0]} failed in {folder}: {done.stderr.strip()}")
    return done.stdout


def published_files(root: Path) -> list[str]:
    """The paths of what is committed and published, with forward slashes."""
    return [name for name in git(root, "ls-files", "-z").split("\0") if name and not name.startswith(LEFT_OUT)]


def write_repository(root: Path, out: Path) -> None:
    """Copy what is published into the new folder ``out`` and commit it there, once, on ``main``."""
    if git(root, "status", "--porcelain").strip():
        sys.exit(
            "There are changes that are not committed; commit them first, or what is published is not what is here."
        )
    shutil.rmtree(out, ignore_errors=True)
    for name in published_files(root):
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(root / name, out / name)
    version = re.search(r'__version__ = "(.+)"', (root / "ccella_core" / "__init__.py").read_text(encoding="utf-8"))
    git(out, "init", "-q", "-b", "main")
    git(out, "add", "--all", "--force")
    git(out, "commit", "-q", "-m", f"CCELLA for 3D Slicer {version[1] if version else ''}".rstrip())
    git(out, "gc", "-q", "--aggressive", "--prune=now")


def problems_of(out: Path) -> Iterator[str]:
    """What the Extension Manager, its index or a user would stumble over, a sentence each."""
    yield from _of_file_lists(out)
    yield from _of_links(out)
    yield from _of_entry(out)
    size = size_of(out)
    if size > MOST_BYTES:
        yield f"Checkout and history take {size / 1e6:.1f} MB of at most {MOST_BYTES / 1e6:.0f} MB."


def _of_file_lists(out: Path) -> Iterator[str]:
    text = (out / NAME / "CMakeLists.txt").read_text(encoding="utf-8")
    listed = set(re.findall(r"^  (\S+)$", text.replace("${MODULE_NAME}", NAME), re.MULTILINE))
    present = {file.relative_to(out / NAME).as_posix() for file in (out / NAME).rglob("*.py")}
    for name in sorted(present - listed):
        yield f"{NAME}/{name} is in no list of {NAME}/CMakeLists.txt, so it would not be installed."
    for name in sorted(name for name in listed if "/" in name and not (out / NAME / name).is_file()):
        yield f"{NAME}/CMakeLists.txt lists {name}, which is not there."


def _of_links(out: Path) -> Iterator[str]:
    from PIL import Image

    text = (out / "CMakeLists.txt").read_text(encoding="utf-8")
    said = dict(re.findall(r'^set\(EXTENSION_(\w+) "([^"\n;]+)"\)$', text, re.MULTILINE))
    for key in ("ICONURL", "SCREENSHOTURLS"):
        for link in said.get(key, "").split() or [f"no EXTENSION_{key}"]:
            if not link.startswith(RAW) or not (out / link.removeprefix(RAW)).is_file():
                yield f"The top CMakeLists.txt names {link}, which is no picture of this repository."
    icon = out / said.get("ICONURL", "").removeprefix(RAW)
    if icon.is_file():
        with Image.open(icon) as picture:
            if picture.size != ICON_PIXELS:
                yield f"The icon has {picture.size[0]} x {picture.size[1]} pixels instead of 128 x 128."


def _of_entry(out: Path) -> Iterator[str]:
    text = (out / "docs" / "extension_index.md").read_text(encoding="utf-8")
    entry = json.loads(re.findall(r"```json\n(.*?)```", text, re.DOTALL)[0])
    if odd := entry.keys() ^ ENTRY_FIELDS:
        yield f"The index's entry has other fields than the schema's: {', '.join(sorted(odd))}."
    homepage = re.search(r'EXTENSION_HOMEPAGE "(.+?)"', (out / "CMakeLists.txt").read_text(encoding="utf-8"))
    if homepage is None or entry.get("scm_url") != homepage[1]:
        yield f"The index's entry and the top CMakeLists.txt name different repositories ({entry.get('scm_url')})."


def size_of(folder: Path) -> int:
    """Bytes of all files below ``folder``, those of git's own included."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file() and not file.is_symlink())


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "SlicerCCELLAGenerator", help="the new repository")
    out: Path = parser.parse_args().out.resolve()
    write_repository(ROOT, out)
    if found := list(problems_of(out)):
        sys.exit("\n".join(["Not ready to be published:", *found]))
    print(
        f"{out} holds one commit: {size_of(out) / 1e6:.1f} MB with its history.\n"
        "To publish it:\n"
        f"  git -C {out} remote add origin https://github.com/ccella/SlicerCCELLAGenerator\n"
        f"  git -C {out} push --force-with-lease origin main   # a release replaces the one before\n"
        "and the first time, put CCELLAGenerator.json into a fork of https://github.com/Slicer/ExtensionsIndex:\n"
        "docs/extension_index.md has it, and how to check it there."
    )


if __name__ == "__main__":
    main()
