"""What the Slicer module CCELLAGenerator is made of."""  # noqa: N999 - the name that Slicer modules give it
