"""``ccella models export``, from a training to a model, and what a model is told afterwards: profile, calibration."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from ccella_core.cli.evaluate_adherence import SplitName
from ccella_core.cli.output import AsJson, StepDisplay, end_with_left_out, explained, print_json, quiet_libraries


@explained
def profile(
    model: Annotated[str, typer.Argument(help="The model: a name or a folder.")],
    data: Annotated[Path, typer.Argument(help="The prepared cases that it was trained on.")],
    mirror: Annotated[bool, typer.Option("--mirror", help="It was trained on mirrored reports too.")] = False,
    as_json: AsJson = False,
) -> None:
    """Tell a model how its training reports are worded, so that it says where a report is worded unlike them.

    An exported model knows it already; one that was imported, or made by an older version, does not. Its weights and
    its hash stay.
    """
    from ccella_core.cases.prepared import PreparedSet
    from ccella_core.errors import InputError
    from ccella_core.models.report_profile import FEWEST_PATIENTS, add_profile
    from ccella_core.models.search import resolve_model
    from ccella_core.training.data.wording import profile_of

    found = profile_of(PreparedSet.open(data), mirror=mirror)
    if found is None:
        raise InputError(f"There are training reports of fewer than {FEWEST_PATIENTS} patients in {data}.")
    changed = add_profile(resolve_model(model), found)
    if as_json:
        print_json({"name": changed.index.name, "path": str(changed.path), "reports": found.reports,
                    "language": found.language, "limit": found.limit})  # fmt: skip
        return
    typer.echo(
        f"{changed.index.name} knows how {found.reports} reports are worded; a report of which more than "
        f"{found.limit:.1%} of the word pairs are new will be said to be unlike them."
    )


@explained
def calibrate(
    model: Annotated[str, typer.Argument(help="The model: a name or a folder.")],
    synthetic: Annotated[Path, typer.Argument(help="A folder of `ccella synthesize`: volumes of this model.")],
    real: Annotated[Path, typer.Argument(help="A folder of `ccella prepare`, or of images: what it was trained on.")],
    sequence: Annotated[
        Literal["t2w", "hbv", "adc"], typer.Option(help="Which; plain images are taken to be of it.")
    ] = "t2w",
    real_split: Annotated[
        SplitName | None, typer.Option(help="Only real cases of this split: train, since others are to be measured on.")
    ] = None,
    synthetic_split: Annotated[SplitName | None, typer.Option(help="Likewise of the synthetic cases.")] = None,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """Correct the grey values and the sharpness that all volumes of a model miss alike.

    A tone curve and a gain for each spatial frequency, kept in the model's index and applied to every volume that it
    draws. Its weights stay, its hash is another, and what was measured of it before is dropped.
    """
    from ccella_core.evaluation.data.volume_set import open_volume_set
    from ccella_core.evaluation.images.calibration import calibrate_model
    from ccella_core.models.search import resolve_model

    found = resolve_model(model)
    drawn = open_volume_set(synthetic, sequence=sequence, split=synthetic_split).checked()
    scans = open_volume_set(real, sequence=sequence, split=real_split).checked()
    with StepDisplay("Volumes") as on_progress:
        changed = calibrate_model(found, synthetic, drawn, scans, sequence, progress=on_progress)
    calibration = changed.index.calibration[sequence]
    if as_json:
        print_json({"name": changed.index.name, "path": str(changed.path), "sha256": changed.sha256,
                    "sequence": sequence, **calibration.model_dump(mode="json")})  # fmt: skip
        end_with_left_out((*drawn.left_out, *scans.left_out))
        return
    furthest = max(calibration.tone, key=lambda point: abs(point[1] - point[0]))
    typer.echo(
        f"{changed.index.name} is calibrated in {sequence}: grey values of {furthest[0]:.2f} become {furthest[1]:.2f}, "
        f"waves are changed {min(calibration.gain):.2f} to {max(calibration.gain):.2f} times. Its hash is now "
        f"{changed.sha256[:12]}."
    )
    end_with_left_out((*drawn.left_out, *scans.left_out))


@explained
def uncalibrate(
    model: Annotated[str, typer.Argument(help="The model: a name or a folder.")], as_json: AsJson = False
) -> None:
    """Take the calibrations out of a model again, which then has the hash that it had before."""
    from ccella_core.evaluation.images.calibration import uncalibrate_model
    from ccella_core.models.search import resolve_model

    changed = uncalibrate_model(resolve_model(model))
    if as_json:
        print_json({"name": changed.index.name, "path": str(changed.path), "sha256": changed.sha256})
        return
    typer.echo(f"{changed.index.name} has no calibration any longer. Its hash is now {changed.sha256[:12]}.")


@explained
def export(
    run: Annotated[Path, typer.Argument(help="The folder of a training.")],
    out: Annotated[Path, typer.Option(help="Folder of the model.")],
    licence: Annotated[str, typer.Option(help="Under which others may use it, for instance CC-BY-4.0.")],
    intended_use: Annotated[str, typer.Option(help="What it is for, and what not; shown before every use.")],
    trained_on: Annotated[str, typer.Option(help="The data, in a sentence; shown with the model.")],
    name: Annotated[str | None, typer.Option(help="By default the run's.")] = None,
    version: Annotated[str, typer.Option(help="Of the model.")] = "1.0.0",
    description: Annotated[str, typer.Option(help="One sentence.")] = "",
    weights: Annotated[
        Literal["last", "best"],
        typer.Option(help="Those after the last step, or the best on the validation cases."),
    ] = "last",
    autoencoder: Annotated[
        str | None, typer.Option(help="Another autoencoder with the same latents, such as one with a refined decoder.")
    ] = None,
    storage: Annotated[
        Literal["float16", "int8"],
        typer.Option(help="Of the weights on the disk; int8 takes half as many bytes for denoiser and text encoder."),
    ] = "float16",
    scheduler: Annotated[str, typer.Option(help="The model's default scheduler.")] = "dpm++",
    steps: Annotated[int, typer.Option(min=1, help="The model's default number of denoising steps.")] = 30,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a model that is there.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make a model of a training: denoiser, autoencoder, text encoder and what they were trained on."""
    quiet_libraries()
    from ccella_core.config import checked
    from ccella_core.training.export import About, export_run

    content = {
        "name": name,
        "version": version,
        "licence": licence,
        "intended_use": intended_use,
        "description": description,
        "trained_on": trained_on,
        "default_scheduler": scheduler,
        "default_num_inference_steps": steps,
    }
    about = checked(About, content, "What the model is to say of itself")
    model = export_run(
        run, out, about, best=weights == "best", autoencoder=autoencoder, storage=storage, overwrite=overwrite
    )
    if as_json:
        print_json({"name": model.index.name, "path": str(model.path), "sha256": model.sha256})
        return
    typer.echo(f"{model.index.name} {model.index.version} is in {model.path}.")
    typer.echo(f"Licence: {model.index.licence}\nIntended use: {model.index.intended_use}")
    typer.echo(f'Use it with: ccella generate --model {model.path} --report "…" --out out')
