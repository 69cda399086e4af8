"""Stand-ins for what slicer-core lacks of 3D Slicer: its Qt, its widgets, its application object, its Python packages.

The scene, the logics, the displayable managers and ``slicer.util`` are Slicer's own, from PyPI; Qt is PySide6. Only the
sliver between them is made here, as small as the extension needs it and never kinder than Slicer: what a stand-in does
not know raises AttributeError with its name.
"""
