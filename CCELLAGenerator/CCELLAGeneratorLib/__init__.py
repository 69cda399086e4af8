"""What the Slicer module CCELLAGenerator is made of."""
