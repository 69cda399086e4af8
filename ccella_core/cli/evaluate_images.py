"""``ccella evaluate images``: are synthetic volumes like real ones, as many-sided, and no mere repetition?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

import typer

from ccella_core.cli.output import AsJson, StepDisplay, explained, print_json, say
from ccella_core.files import prepare_folder

SplitName = Literal["train", "validation", "test"]


@explained
def images(
    real: Annotated[Path, typer.Argument(help="A folder of `ccella prepare`, or of images.")],
    synthetic: Annotated[Path, typer.Argument(help="A folder of `ccella synthesize`, or of images.")],
    out: Annotated[Path, typer.Option(help="Folder for the results; a run that was stopped goes on there.")],
    extractor: Annotated[
        list[str] | None,
        typer.Option(help="phantom (a stand-in), medicalnet or radimagenet; give it again for several. By default what "
                          "was imported with `ccella import-extractor`, and else phantom."),
    ] = None,
    real_split: Annotated[
        SplitName | None, typer.Option(help="Only real cases of this split, for instance test.")
    ] = None,
    synthetic_split: Annotated[SplitName | None, typer.Option(help="Likewise of the synthetic cases.")] = None,
    sequence: Annotated[Literal["t2w", "adc", "hbv"], typer.Option(help="Which to compare.")] = "t2w",
    slices: Annotated[int, typer.Option(min=1, help="Slices of each volume and plane, for radimagenet.")] = 32,
    pairs: Annotated[int, typer.Option(min=1, help="Pairs of each set whose similarity is measured.")] = 50,
    readout: Annotated[
        Path | None, typer.Option(help="For phantom: a trained readout; by default the cached one.")
    ] = None,
    download: Annotated[bool, typer.Option("--download", help="Fetch weights that are missing from the hub.")] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")] = "auto",
    seed: Annotated[int, typer.Option(min=0, help="Of random halves, subsets and pairs.")] = 0,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """Compare synthetic volumes with real ones: FID, KID, precision, recall, density, coverage, MS-SSIM.

    By default all cases of each folder; against the training cases, copies of them would count as good.
    """
    prepare_folder(out)
    from ccella_core.devices import choose_device
    from ccella_core.evaluation.features.features import available_kinds, check_kind, load_extractors
    from ccella_core.evaluation.images.images import (
        FEATURES,
        check_image_sets,
        evaluate_images,
        markdown,
        save_image_scores,
    )
    from ccella_core.evaluation.data.volume_set import open_volume_set

    real_set = open_volume_set(real, sequence=sequence, split=real_split)
    synthetic_set = open_volume_set(synthetic, sequence=sequence, split=synthetic_split)
    where = choose_device(device)
    check_image_sets(real_set, synthetic_set)
    kinds = list(dict.fromkeys(extractor or available_kinds()))
    for kind in kinds:
        check_kind(kind, real_set.shape, real_set.spacing, sequence)
    loaded = {}
    for kind in sorted(kinds, key=lambda kind: kind == "phantom"):  # the last, because it may have to be trained
        with StepDisplay("Training the stand-in, once") as told:
            loaded[kind] = load_extractors(
                kind,  # type: ignore[arg-type]
                readout if kind == "phantom" else None,
                allow_download=download,
                device=device,
                slices=slices,
                progress=told,
            )
    scores = evaluate_images(
        real_set,
        synthetic_set,
        [each for kind in kinds for each in loaded[kind]],
        seed=seed,
        pairs=pairs,
        device=where,
        cache=out / FEATURES,
        stage=StepDisplay,
    )
    save_image_scores(scores, out)
    if as_json:
        print_json(json.loads(scores.model_dump_json()))
        return
    typer.echo(markdown(scores))
    say(f"Also in {out}.")
