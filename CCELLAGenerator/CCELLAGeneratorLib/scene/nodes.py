"""Nodes of the scene that may go at any time, and nodes that serve a view for a while."""

from __future__ import annotations

import slicer


def in_scene(node: slicer.vtkMRMLNode | None) -> bool:
    """Whether the node is still there. One that is not must be left alone: logics that observe it can crash."""
    return node is not None and bool(slicer.mrmlScene.IsNodePresent(node))


class TemporaryNodes:
    """Adds nodes that are not saved with the scene, and removes all of them at once."""

    def __init__(self) -> None:
        self._nodes: list[slicer.vtkMRMLNode] = []

    def add(self, node_class: str, name: str) -> slicer.vtkMRMLNode:
        """A new node of the scene with this very name, even where another node has it."""
        node = slicer.mrmlScene.AddNewNodeByClass(node_class)
        node.SetName(name)
        node.SetSaveWithScene(False)
        self._nodes.append(node)
        return node

    def remove(self) -> None:
        """Remove those that are still in the scene."""
        for node in reversed(self._nodes):
            if in_scene(node):
                slicer.mrmlScene.RemoveNode(node)
        self._nodes.clear()
