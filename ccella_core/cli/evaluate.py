"""``ccella evaluate``: how good a model is."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ccella_core.cli import evaluate_adherence, evaluate_classifier
from ccella_core.cli.evaluate_adherence import SplitName
from ccella_core.cli.options import seed_of
from ccella_core.cli.output import (
    EXIT_CODES,
    AsJson,
    StepDisplay,
    end_with_left_out,
    explained,
    print_json,
    print_message,
)
from ccella_core.errors import InputError
from ccella_core.files import alone_in

if TYPE_CHECKING:
    from ccella_core.evaluation.data.volume_set import VolumeSet

app = typer.Typer(help="Measure a model.", no_args_is_help=True, epilog=EXIT_CODES)
app.command("adherence", epilog=EXIT_CODES)(evaluate_adherence.adherence)
app.command("classifier", epilog=EXIT_CODES)(evaluate_classifier.classifier)


@app.command("class-head", epilog=EXIT_CODES)
@partial(explained, writes="out")
def class_head(
    synthetic: Annotated[Path, typer.Argument(help="A folder of `ccella synthesize`.")],
    split: Annotated[SplitName | None, typer.Option(help="Only cases of this split; by default all.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for class_head.json and class_head.md.")] = None,
    seed: Annotated[int, typer.Option(parser=seed_of, metavar="INTEGER", help="Of the bootstrap.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Score the class that a model read from reports against the cases' own."""
    from ccella_core.evaluation.classifier.class_head import class_head_markdown, evaluate_class_head

    result = evaluate_class_head(synthetic, split=split, seed=seed, out=out)
    if as_json:
        print_json(json.loads(result.model_dump_json()))
        return
    typer.echo(class_head_markdown(result))


@app.command("images", epilog=EXIT_CODES)
@partial(explained, writes="out")
def images(
    real: Annotated[Path, typer.Argument(help="A folder of `ccella prepare`, or of images.")],
    synthetic: Annotated[Path, typer.Argument(help="A folder of `ccella synthesize`, or of images.")],
    out: Annotated[Path, typer.Option(help="Folder for the results; a run that was stopped goes on there.")],
    extractor: Annotated[
        list[str] | None,
        typer.Option(help="phantom (a stand-in), medicalnet or radimagenet; give it again for several. By default what "
                          "was imported with `ccella models import-extractor`, and else phantom."),
    ] = None,
    real_split: Annotated[
        SplitName | None, typer.Option(help="Only real cases of this split, for instance test.")
    ] = None,
    synthetic_split: Annotated[SplitName | None, typer.Option(help="Likewise of the synthetic cases.")] = None,
    sequence: Annotated[Literal["t2w", "hbv", "adc"], typer.Option(help="Which to compare.")] = "t2w",
    protocol: Annotated[
        Literal["own", "published", "published++"],
        typer.Option(help="How volumes are given to published extractors: our way, CCELLA's or CCELLA++'s, which need "
                          "medicalnet and radimagenet, both by default."),
    ] = "own",
    slices: Annotated[
        int | None,
        typer.Option(min=1, help="Slices of each volume and plane, for radimagenet; by default 32, and with a "
                                 "published protocol all.", show_default=False),
    ] = None,
    pairs: Annotated[int, typer.Option(min=1, help="Pairs of each set whose similarity is measured.")] = 50,
    phantom_reader: Annotated[
        Path | None, typer.Option(help="For phantom: a trained phantom reader; by default the cached one.")
    ] = None,
    download: Annotated[bool, typer.Option("--download", help="Fetch weights that are missing from the hub.")] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")] = "auto",
    seed: Annotated[
        int, typer.Option(parser=seed_of, metavar="INTEGER", help="Of random halves, subsets and pairs.")
    ] = 0,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """Compare synthetic volumes with real ones: FID, KID, precision, recall, density, coverage, MS-SSIM.

    By default all cases of each folder; against the training cases, copies of them would count as good.
    """
    from ccella_core.generation.options import check_device

    check_device(device)
    from ccella_core.devices import choose_device
    from ccella_core.evaluation.data.volume_set import open_volume_set
    from ccella_core.evaluation.features.extractor_import import PUBLISHED
    from ccella_core.evaluation.features.features import available_kinds, check_kind, load_extractors
    from ccella_core.evaluation.features.protocols import check_protocol
    from ccella_core.evaluation.images.images import (
        FEATURES,
        check_image_sets,
        evaluate_images,
        images_markdown,
        save_image_scores,
    )

    real_set = open_volume_set(real, sequence=sequence, split=real_split)
    synthetic_set = open_volume_set(synthetic, sequence=sequence, split=synthetic_split)
    where = choose_device(device)
    check_image_sets(real_set, synthetic_set)
    kinds = list(dict.fromkeys(extractor or (available_kinds() if protocol == "own" else PUBLISHED)))
    check_protocol(protocol, kinds, slices)
    for kind in kinds:
        check_kind(kind, real_set.shape, real_set.spacing, sequence)
    real_set, synthetic_set = _checked(real_set, "real"), _checked(synthetic_set, "synthetic")
    check_image_sets(real_set, synthetic_set)
    loaded = {}
    for kind in sorted(kinds, key=lambda kind: kind == "phantom"):  # the last, because it may have to be trained
        with StepDisplay("Training the stand-in, once") as on_progress:
            loaded[kind] = load_extractors(
                kind,  # type: ignore[arg-type]
                phantom_reader if kind == "phantom" else None,
                allow_download=download,
                device=device,
                slices=slices,
                protocol=protocol,
                progress=on_progress,
            )
    scores = evaluate_images(
        real_set,
        synthetic_set,
        [each for kind in kinds for each in loaded[kind]],
        seed=seed,
        pairs=pairs,
        protocol=protocol,
        device=where,
        cache=out / FEATURES,
        stage=StepDisplay,
    )
    save_image_scores(scores, out)
    if as_json:
        print_json(json.loads(scores.model_dump_json()))
    else:
        typer.echo(images_markdown(scores))
        print_message(f"Also in {out}.")
    end_with_left_out((*real_set.left_out, *synthetic_set.left_out))


@app.command("privacy", epilog=EXIT_CODES)
@partial(explained, writes="out")
def privacy(
    synthetic: Annotated[Path, typer.Argument(help="A folder of `ccella synthesize`, or of images.")],
    training: Annotated[Path, typer.Argument(help="What the model was trained on: prepared cases, or images.")],
    out: Annotated[Path, typer.Option(help="Folder for the results; a run that was stopped goes on there.")],
    training_split: Annotated[
        SplitName | None, typer.Option(help="Of TRAINING; by default train, where the cases have splits.")
    ] = None,
    held_out: Annotated[
        Path | None, typer.Option(help="Real volumes that no training has seen: prepared cases, or images.")
    ] = None,
    held_out_split: Annotated[
        SplitName | None, typer.Option(help="Of the held-out folder, or without one of TRAINING, for instance test.")
    ] = None,
    sequence: Annotated[Literal["t2w", "hbv", "adc"], typer.Option(help="Which to compare.")] = "t2w",
    extractor: Annotated[
        str | None,
        typer.Option(help="Of features: phantom (a stand-in), medicalnet or radimagenet (axial). By default what was "
                          "imported with `ccella models import-extractor`, and else phantom."),
    ] = None,
    phantom_reader: Annotated[
        Path | None, typer.Option(help="For phantom: a trained phantom reader; by default the cached one.")
    ] = None,
    download: Annotated[bool, typer.Option("--download", help="Fetch weights that are missing from the hub.")] = False,
    false_alarms: Annotated[
        float, typer.Option(help="Share of new volumes that each of the two comparisons may suspect.")
    ] = 0.001,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """Compare every synthetic volume with every training case, as an image and by features, and show the closest.

    Without held-out volumes, each training case is compared with the others to learn how near real cases lie.
    """
    from ccella_core.evaluation.data.volume_set import open_volume_set
    from ccella_core.evaluation.features.features import available_kinds, check_kind, load_extractor
    from ccella_core.evaluation.images.images import FEATURES
    from ccella_core.evaluation.privacy.privacy import check_sets, find_copies
    from ccella_core.evaluation.privacy.report import privacy_markdown, save_privacy

    synthetic_set = open_volume_set(synthetic, sequence=sequence)
    training_set = _training_set(training, training_split, sequence)
    held_out_set = None
    if held_out is not None or held_out_split is not None:
        if held_out is None and held_out_split == (training_split or "train"):
            raise InputError(f"The split {held_out_split} was trained on; name another one as held out.")
        held_out_set = open_volume_set(held_out or training, sequence=sequence, split=held_out_split)
    check_sets(synthetic_set, training_set, held_out_set, false_alarms)
    kind = extractor or available_kinds()[0]
    check_kind(kind, training_set.shape, training_set.spacing, sequence)
    synthetic_set, training_set = _checked(synthetic_set, "synthetic"), _checked(training_set, "training")
    held_out_set = None if held_out_set is None else _checked(held_out_set, "held-out")
    with StepDisplay("Training the stand-in, once") as on_progress:
        network = load_extractor(
            kind,  # type: ignore[arg-type]  # refused where there is none of that name
            phantom_reader if kind == "phantom" else None,
            allow_download=download,
            progress=on_progress,
        )
    scores = find_copies(
        synthetic_set,
        training_set,
        held_out_set,
        network,
        false_alarm_rate=false_alarms,
        cache=out / FEATURES,
        stage=StepDisplay,
    )
    save_privacy(scores, synthetic_set, training_set, out)
    if as_json:
        print_json(json.loads(scores.model_dump_json()))
    else:
        typer.echo(privacy_markdown(scores))
        print_message(f"Also in {out}, with pictures.")
    held_out_left = () if held_out_set is None else held_out_set.left_out
    end_with_left_out((*synthetic_set.left_out, *training_set.left_out, *held_out_left))


def _checked(volumes: VolumeSet, words: str) -> VolumeSet:
    """Without those that cannot be used, which is met before anything slow begins."""
    with StepDisplay(f"Looking at {words} volumes") as display:
        return volumes.checked(display)


@app.command("readers", epilog=EXIT_CODES)
@explained
def readers(
    results: Annotated[Path, typer.Argument(help="The folder of a reader study, made by the Slicer module.")],
    out: Annotated[
        Path | None, typer.Option(help="Folder for page, tables and scores; by default the study's own.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Score how well readers told synthetic volumes from real ones, and how far they agree."""
    from ccella_core.evaluation.readers.report import readers_markdown, save_reader_result
    from ccella_core.evaluation.readers.scores import evaluate_readers

    result = evaluate_readers(results)
    with alone_in(out or results):
        page = save_reader_result(result, out or results)
    if as_json:
        print_json(json.loads(result.model_dump_json()))
        return
    typer.echo(readers_markdown(result))
    print_message(f"The page is {page}.")


def _training_set(folder: Path, split: SplitName | None, sequence: Literal["t2w", "hbv", "adc"]) -> VolumeSet:
    from ccella_core.cases.prepared import CASES_NAME
    from ccella_core.evaluation.data.volume_set import open_volume_set

    has_splits = (folder / CASES_NAME).is_file()
    return open_volume_set(folder, sequence=sequence, split=split or ("train" if has_splits else None))
