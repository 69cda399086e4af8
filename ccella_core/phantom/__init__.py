"""The digital prostate: a drawn patient, its MRI and the report that describes it.

A test object with a known truth, not a claim of realism. `findings` and `report` need only the standard
library, so that a host without scipy can compose reports; import `patient` and `render` explicitly.
"""
