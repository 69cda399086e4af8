"""The Python packages that the worker needs and Slicer does not bring: which are missing, and how they are installed.

Nothing happens before `ensure` is called and the user has said yes. Nothing heavy is imported in Slicer's own process.
"""

from __future__ import annotations

import importlib
import logging
import platform
import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

import slicer
from slicer.i18n import tr as _

from .client.command import MODULE_FOLDER, slicer_python

REQUESTER = "CCELLAGenerator"
REQUIREMENTS_FILE = MODULE_FOLDER / "Resources" / "requirements.txt"
MINIMUM_PYTHON = (3, 10)
"""Slicer has it since 5.10; the packages in these versions do not exist for an older one."""
TORCH_VERSIONS = ">=2.4"
TORCH = f"torch{TORCH_VERSIONS}"
PROTECTED = ("numpy", "SimpleITK", "torch", "torchvision")
"""Packages that pip must leave as they are: Slicer's own builds, and what PyTorchUtils chose for the graphics card."""
NEVER = "<0"
"""A version that no package has: pip then gives up rather than bring its own."""
STATUS_MS = 10_000


class _ShownError(Exception):
    """An installation failed, and Slicer has shown the user why."""


def missing() -> list[str]:
    """What is missing or too old in Slicer's Python, as requirements ("monai>=1.5"); imports none of it."""
    return [requirement for requirement in (TORCH, *_listed_requirements()) if not _is_met(requirement)]


def ensure(parent_title: str) -> bool:
    """Install what is missing, after the user's yes; says itself what went wrong.

    Args:
        parent_title: of the windows that are shown.

    Returns:
        Whether everything is there now.
    """
    lacking = missing()
    if not lacking:
        return True
    if sys.version_info < MINIMUM_PYTHON:
        slicer.util.errorDisplay(
            _("This Slicer has Python {version}, and CCELLA needs 3.10: install Slicer 5.10 or newer.").format(
                version=f"{sys.version_info[0]}.{sys.version_info[1]}"
            ),
            windowTitle=parent_title,
        )
        return False
    if TORCH in lacking and _is_intel_mac():
        slicer.util.errorDisplay(
            _(
                "PyTorch 2.4 and newer are not made for Macs with an Intel processor, so CCELLA cannot generate on "
                "this computer. Use Windows, Linux or a Mac with Apple silicon."
            ),
            windowTitle=parent_title,
        )
        return False
    if slicer.app.testingEnabled():
        logging.info("In testing mode nothing is installed; missing: %s", ", ".join(lacking))
        return False
    if not slicer.util.confirmOkCancelDisplay(_question(lacking), windowTitle=parent_title):
        slicer.util.showStatusMessage(_("Nothing was installed; CCELLA asks again when it needs it."), STATUS_MS)
        return False
    try:
        if TORCH in lacking and not _install_torch(parent_title):
            return False
        others = [requirement for requirement in lacking if requirement != TORCH]
        if others:
            _install_others(others, parent_title)
    except _ShownError:
        logging.exception("The packages could not be installed")
        logging.error("%s", offline_instructions())
        slicer.util.showStatusMessage(_("Slicer's Python console says how to install without internet."), STATUS_MS)
        return False
    except Exception as error:  # pip's, the extension manager's, the network's: the advice is the same
        logging.exception("The packages could not be installed")
        text = _("The packages could not be installed: {error}").format(error=error)
        slicer.util.errorDisplay(f"{text}\n\n{offline_instructions()}", windowTitle=parent_title)
        return False
    importlib.invalidate_caches()
    still_lacking = missing()
    if still_lacking:
        text = _("These packages are still missing: {names}.").format(names=", ".join(still_lacking))
        slicer.util.errorDisplay(f"{text}\n\n{offline_instructions()}", windowTitle=parent_title)
    return not still_lacking


def offline_instructions() -> str:
    """How to install everything on a computer that has no internet."""
    what = f'"{TORCH}" "numpy=={_installed("numpy")}" -r "{REQUIREMENTS_FILE}"'  # numpy, so that it stays as it is
    return _(
        "Without internet: on another computer with the same system and Slicer run\n"
        "{python} -m pip download --dest wheels {what}\n"
        "then copy the folder “wheels” here and run\n"
        "{python} -m pip install --no-index --find-links wheels {what}"
    ).format(python=f'"{slicer_python()}"', what=what)


def _question(lacking: list[str]) -> str:
    names = ", ".join(requirement.split(">=")[0] for requirement in lacking)
    lines = [_("CCELLA needs Python packages that Slicer does not bring: {names}.").format(names=names)]
    if TORCH in lacking:
        lines.append(_("PyTorch: about 0.2 GB to download, with an NVIDIA graphics card up to about 3 GB."))
        if not _has_torch_extension():
            lines.append(_("It comes with the PyTorch extension, which is installed first and needs a restart."))
    if lacking != [TORCH]:
        lines.append(_("The other packages: about 0.1 GB."))
    lines.append(_("What Slicer itself uses stays as it is. Download and install now?"))
    return "\n".join(lines)


# torch


def _is_intel_mac() -> bool:
    """Whether Slicer's Python is made for an Intel Mac, for which the last PyTorch was 2.2."""
    return platform.system() == "Darwin" and platform.machine() == "x86_64"


def _has_torch_extension() -> bool:
    return find_spec("PyTorchUtils") is not None


def _install_torch(title: str) -> bool:
    if not _has_torch_extension():
        _install_torch_extension(title)
        return False  # it can be used after the restart
    import PyTorchUtils

    # Its torchInstalled() is not called, because it would load torch into Slicer's own process. installTorch itself
    # ends by importing torch there, once, to see that it works; nothing here uses what it returns.
    with _progress(title, _("Installing PyTorch. This takes some minutes."), steps=0):
        installed = PyTorchUtils.PyTorchUtilsLogic().installTorch(
            askConfirmation=False, torchVersionRequirement=TORCH_VERSIONS
        )
    if installed is None:
        raise RuntimeError(_("the PyTorch extension installed nothing"))
    return True


def _install_torch_extension(title: str) -> None:
    restart = False  # by itself it would, and what the user has open would be lost
    if not slicer.app.extensionsManagerModel().installExtensionFromServer("PyTorch", restart):
        raise RuntimeError(_("the PyTorch extension could not be downloaded"))
    slicer.util.infoDisplay(
        _("The PyTorch extension was installed. Save your work, restart Slicer, and start again here."),
        windowTitle=title,
    )


# Everything else


def _install_others(requirements: list[str], title: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        # Constraints, and not pip_ensure's skip_packages: that installs without looking at what else depends on what.
        constraints = Path(folder) / "constraints.txt"
        constraints.write_text("\n".join(_pins()), encoding="utf-8")
        try:
            from slicer import packaging
        except ImportError:  # Slicer before 5.11
            _install_one_by_one(requirements, constraints, title)
        else:
            required = packaging.load_requirements(REQUIREMENTS_FILE)
            try:
                packaging.pip_ensure(
                    required,
                    constraints=constraints,
                    requester=REQUESTER,
                    prompt_install=False,  # the user was asked already
                )
            except Exception as error:  # pip_ensure has shown it, with pip's output
                raise _ShownError from error


def _install_one_by_one(requirements: list[str], constraints: Path, title: str) -> None:
    with _progress(title, "", steps=len(requirements)) as show:
        for number, requirement in enumerate(requirements):
            show(number, _("Installing {name}").format(name=requirement))
            slicer.util.pip_install([requirement, "--constraint", str(constraints)])


def _pins() -> Iterator[str]:
    for name in PROTECTED:
        version = _installed(name)
        yield f"{name}=={version}" if version else f"{name}{NEVER}"


@contextmanager
def _progress(title: str, label: str, steps: int) -> Iterator[Callable[[int, str], None]]:
    """A window that shows how far it is; `steps=0`: that something is going on."""
    dialog = slicer.util.createProgressDialog(maximum=steps, labelText=label, windowTitle=title)
    dialog.setCancelButton(None)  # pip that is ended half-way leaves half a package

    def show(step: int, text: str) -> None:
        dialog.value = step
        dialog.labelText = text
        slicer.app.processEvents()

    slicer.app.processEvents()
    try:
        yield show
    finally:
        dialog.close()


# What is there


def _listed_requirements() -> list[str]:
    lines = REQUIREMENTS_FILE.read_text(encoding="utf-8").splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def _is_met(requirement: str) -> bool:
    name, minimum = requirement.split(">=")
    version = _installed(name)
    return version is not None and _release(version) >= _release(minimum)


def _installed(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _release(version: str) -> tuple[int, ...]:
    """(2, 4, 1) of "2.4.1+cu121"."""
    return tuple(int(number) for number in re.findall(r"\d+", version.partition("+")[0]))
