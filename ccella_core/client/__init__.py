"""What a client of the worker needs: the words that both share, a connection to another computer, files through it.

NumPy-free and torch-free: the Slicer module imports it where nothing else is installed.
"""
