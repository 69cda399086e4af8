# ruff: noqa: N802, N803 - named as Slicer names it
"""``slicer.packaging``, the PyTorch extension's ``PyTorchUtils`` and the extensions manager: they record, and install
nothing.

A test says beforehand what is missing (``missing``, ``torch_is_missing``) and whether installing works (``works``);
everything asked for is in ``asked_for`` afterwards. The user is asked through ``slicer.util``, as in Slicer.
"""

from __future__ import annotations

import shlex
import subprocess
import types
from pathlib import Path
from typing import Any

import slicer
from packaging.requirements import Requirement


class Installer:
    """What is installed in Slicer's Python, what was asked for, and the modules that say so."""

    def __init__(self) -> None:
        self.missing: set[str] = set()
        self.torch_is_missing = False
        self.works = True
        self.asked_for: list[str] = []
        self.extensions: set[str] = set()
        self.extensions_model = ExtensionsManagerModel(self)

    def install(self, requirements: list[str]) -> None:
        """CalledProcessError when installing does not work; nothing is installed then."""
        self.asked_for += requirements
        if not self.works:
            raise subprocess.CalledProcessError(1, ["pip", "install", *requirements])
        self.missing -= {Requirement(each).name for each in requirements}

    def packaging(self) -> types.ModuleType:
        """``slicer.packaging`` as it is since Slicer 5.11."""
        module = types.ModuleType("slicer.packaging", __doc__)
        for function in (load_requirements, self.pip_check, self.pip_ensure, self.pip_install):
            setattr(module, function.__name__, function)
        return module

    def pip_check(self, req: Any) -> bool:
        return not any(each.name in self.missing for each in _requirements(req))

    def pip_ensure(
        self,
        requirements: Any,
        constraints: str | Path | None = None,
        skip_packages: list[str] | None = None,
        prompt_install: bool = True,
        prompt_restart: bool = True,
        requester: str | None = None,
        skip_in_testing: bool = True,
        show_progress: bool = True,
    ) -> list[str] | None:
        """Ask and install what is missing; RuntimeError when the user declines.

        When pip fails it shows the failure itself, as Slicer does since 5.12, and raises RuntimeError as well.
        """
        missing = [each for each in _requirements(requirements) if not self.pip_check(each)]
        if not missing or (skip_in_testing and slicer.app.testingEnabled()):
            return None
        question = f"{requester}: {len(missing)} Python packages need to be installed"
        if prompt_install and not slicer.util.confirmOkCancelDisplay(question):
            raise RuntimeError("User declined package installation")
        try:
            return self.pip_install([str(each) for each in missing], constraints, skip_packages=skip_packages)
        except subprocess.CalledProcessError as error:
            slicer.util.errorDisplay("Package installation failed.", detailedText=str(error))
            raise RuntimeError("Package installation failed") from error

    def pip_install(
        self,
        requirements: str | list[str],
        constraints: str | Path | None = None,
        no_deps_requirements: Any = None,
        skip_packages: list[str] | None = None,
        blocking: bool = True,
        show_progress: bool = True,
        requester: str | None = None,
        **callbacks: Any,
    ) -> list[str] | None:
        if callbacks or not blocking or no_deps_requirements:
            raise AttributeError("the bench knows pip_install as a call that blocks, with its dependencies")
        self.install(shlex.split(requirements) if isinstance(requirements, str) else requirements)
        return [] if skip_packages else None

    def pytorch_utils(self) -> types.ModuleType:
        """``PyTorchUtils`` of the PyTorch extension."""
        installer = self

        class PyTorchUtilsLogic:
            def torchInstalled(self) -> bool:
                return not installer.torch_is_missing

            def installTorch(
                self,
                askConfirmation: bool = False,
                forceComputationBackend: str | None = None,
                torchVersionRequirement: str | None = None,
                torchvisionVersionRequirement: str | None = None,
            ) -> Any:
                """The module torch, which it imports into Slicer's process; None when the user declines."""
                if askConfirmation and not slicer.util.confirmOkCancelDisplay("PyTorch will be downloaded"):
                    return None
                installer.install([f"torch{torchVersionRequirement or ''}"])
                installer.torch_is_missing = False
                return types.ModuleType("torch")

        module = types.ModuleType("PyTorchUtils", __doc__)
        module.PyTorchUtilsLogic = PyTorchUtilsLogic
        return module


class ExtensionsManagerModel:
    """``slicer.app.extensionsManagerModel()``. What is installed takes effect when Slicer starts again."""

    def __init__(self, installer: Installer) -> None:
        self._installer = installer
        self.interactive = True

    def isExtensionInstalled(self, name: str) -> bool:
        return name in self._installer.extensions

    def installExtensionFromServer(self, name: str, restart: bool = True, update: bool = True) -> bool:
        """Asks when ``interactive``; False when the user declines or the server cannot be reached."""
        if self.interactive and not slicer.util.confirmOkCancelDisplay(f"Install the extension {name}?"):
            return False
        self._installer.asked_for.append(f"extension {name}")
        if self._installer.works:
            self._installer.extensions.add(name)
        return self._installer.works


def load_requirements(path: str | Path) -> list[Requirement]:
    """The requirements of a file; comments, empty lines and options are left out."""
    lines = (line.strip() for line in Path(path).read_text(encoding="utf-8").splitlines())
    return [Requirement(line) for line in lines if line and not line.startswith(("#", "-"))]


def _requirements(given: Any) -> list[Requirement]:
    if isinstance(given, str):
        given = given.split()
    elif isinstance(given, Requirement):
        given = [given]
    elif not isinstance(given, list):
        raise TypeError(f"requirements are a string, a Requirement or a list, not {given!r}")
    return [each if isinstance(each, Requirement) else Requirement(each) for each in given]
