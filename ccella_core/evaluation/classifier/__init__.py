"""A classifier of the pathology, trained on real or synthetic cases, to see what they are worth."""
