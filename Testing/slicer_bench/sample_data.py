# ruff: noqa: N802, N803, N815 - named as Slicer names it
"""``import SampleData``: modules register samples, which are fetched into the scene's cache, checked and loaded.

Only ``file:`` addresses are fetched: tests do not use the network.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlparse
from urllib.request import url2pathname

import slicer


@dataclass
class SampleDataSource:
    """One sample; ``uris``, ``fileNames``, ``nodeNames`` and ``checksums`` have one entry a file."""

    sampleName: str
    uris: list[str]
    fileNames: list[str]
    nodeNames: list[str]
    thumbnailFileName: str | None = None
    loadFileType: list[str] = field(default_factory=list)
    checksums: list[str] = field(default_factory=list)


class SampleDataLogic:
    """Sources are kept in ``slicer.modules.sampleDataSources`` by category."""

    @staticmethod
    def registerCustomSampleDataSource(
        category: str = "Custom",
        sampleName: str | None = None,
        uris: Any = None,
        fileNames: Any = None,
        nodeNames: Any = None,
        customDownloader: Any = None,
        thumbnailFileName: str | None = None,
        loadFileType: Any = "VolumeFile",
        loadFiles: Any = None,
        loadFileProperties: Any = None,
        checksums: Any = None,
    ) -> None:
        """Register a sample once; ValueError unless each file has an address, a name, a node name and a checksum."""
        if customDownloader or loadFiles or loadFileProperties:
            raise AttributeError("the bench knows neither customDownloader, loadFiles nor loadFileProperties")
        lists = [each if isinstance(each, list) else [each] for each in (uris, fileNames, nodeNames, checksums)]
        if len({len(each) for each in lists}) > 1 or not all(isinstance(text, str) for each in lists for text in each):
            raise ValueError(f"sample {sampleName!r}: every file needs an address, two names and a checksum")
        if thumbnailFileName and not Path(thumbnailFileName).is_file():
            raise ValueError(f"sample {sampleName!r}: there is no picture {thumbnailFileName}")
        types = loadFileType if isinstance(loadFileType, list) else [loadFileType] * len(lists[0])
        source = SampleDataSource(sampleName, *lists[:3], thumbnailFileName, types, lists[3])
        sources = SampleDataLogic.sampleDataSourcesByCategory().setdefault(category, [])
        if source not in sources:
            sources.append(source)

    @staticmethod
    def sampleDataSourcesByCategory(category: str | None = None) -> Any:
        if not hasattr(slicer.modules, "sampleDataSources"):
            slicer.modules.sampleDataSources = {}
        every = slicer.modules.sampleDataSources
        return every if category is None else every.get(category, [])

    def sourceForSampleName(self, sampleName: str) -> SampleDataSource | None:
        every = [source for sources in self.sampleDataSourcesByCategory().values() for source in sources]
        return next((source for source in every if source.sampleName == sampleName), None)

    def downloadSample(self, sampleName: str) -> Any:
        """The node of the sample's first file; None for a sample nobody registered."""
        source = self.sourceForSampleName(sampleName)
        return self.downloadFromSource(source)[0] if source else None

    def downloadFromSource(self, source: SampleDataSource) -> list[Any]:
        """Fetch, check and load each file; OSError when a checksum differs."""
        nodes = []
        for uri, name, node_name, kind, checksum in zip(
            source.uris, source.fileNames, source.nodeNames, source.loadFileType, source.checksums, strict=True
        ):
            path = self._fetch(uri, name, checksum)
            nodes.append(slicer.util.loadNodeFromFile(str(path), kind, {"name": node_name}))
        return nodes

    def _fetch(self, uri: str, name: str, checksum: str) -> Path:
        address = urlparse(uri)
        if address.scheme != "file":
            raise AttributeError(f"the bench does not fetch {uri}")
        target = Path(slicer.mrmlScene.GetCacheManager().GetRemoteCacheDirectory()) / name
        shutil.copyfile(url2pathname(address.path), target)
        algorithm, digest = slicer.util.extractAlgoAndDigest(checksum)
        if slicer.util.computeChecksum(algorithm, str(target)) != digest:
            target.unlink()
            raise OSError(f"checksum of {name} differs")
        return target


def downloadSample(sampleName: str) -> Any:
    """``SampleData.downloadSample``."""
    return SampleDataLogic().downloadSample(sampleName)
