"""Keeps in a model what was measured of it: the numbers of an adherence run, without its cases.

``ccella evaluate adherence --out out/adherence``, then
``python docs/tools/record_measured.py out/adherence [--model Resources/Models/ccella-demo]``

A model's hash leaves out what was measured of it, so volumes that were made before stay traceable.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from ccella_core.errors import InputError
from ccella_core.evaluation.adherence.report import AdherenceResult
from ccella_core.files import write_json
from ccella_core.models.model import INDEX_NAME, ModelFolder

DEMO = Path(__file__).resolve().parents[2] / "Resources" / "Models" / "ccella-demo"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, help="folder of `ccella evaluate adherence`")
    parser.add_argument("--model", type=Path, default=DEMO)
    options = parser.parse_args()
    model = ModelFolder.open(options.model)
    result = AdherenceResult.model_validate_json((options.results / "adherence.json").read_bytes())
    if model.sha256[:12] not in result.model:
        raise InputError(f"{options.results} measured {result.model}, and {options.model} is {model.sha256[:12]}.")
    measured = {**model.index.measured, "adherence": result.model_dump(mode="json", exclude={"cases"})}
    write_json(model.path / INDEX_NAME, model.index.model_copy(update={"measured": measured}))


if __name__ == "__main__":
    main()
