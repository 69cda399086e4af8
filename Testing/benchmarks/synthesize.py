"""How much faster several processes make a synthetic data set than one does, on the same processor cores.

    python Testing/benchmarks/synthesize.py --processes 2 --cases 16

On the CPU; run it while nothing else runs. One process is measured twice: on one core, which says how well the work is
shared (twice as fast at best for two processes), and on as many cores as the processes together have, which says
whether sharing pays. Loading is excluded. On GPUs, compare the seconds that `accelerate launch --num_processes N -m
ccella_core synthesize … --json` tells.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import psutil
import typer
from _measure import DEFAULT_OUT, Table, machine, machine_in_words, save_results

from ccella_core.cases.prepared import PreparedCase, PreparedSet, PrepareSettings, write_cases, write_index
from ccella_core.cli.output import explained, print_message
from ccella_core.errors import InputError
from ccella_core.files import prepare_folder
from ccella_core.models.model import ModelIndex
from ccella_core.models.search import resolve_model
from ccella_core.phantom.patient import draw_findings
from ccella_core.phantom.report import write_report

GOAL = 1.8
"""Times as fast as one process on one core, for two."""
DEMO_MODEL = "ccella-demo"
COLUMNS = ("What", "Seconds", "Seconds a volume", "× one core", "× as many cores")

app = typer.Typer(add_completion=False)


@dataclass(frozen=True)
class Run:
    """A way to make the set."""

    label: str
    processes: int
    threads: int
    """Of each process."""


@app.command(help=__doc__)
@explained
def main(
    processes: Annotated[int, typer.Option(min=2, help="Beside each other, a core each.")] = 2,
    cases: Annotated[int, typer.Option(min=1, help="Volumes to make; a multiple of the processes.")] = 16,
    model: Annotated[str, typer.Option(help="The model.")] = DEMO_MODEL,
    steps: Annotated[int | None, typer.Option(help="Denoising steps; by default the model's.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for synthesize.json and synthesize.md.")] = DEFAULT_OUT,
) -> None:
    found = resolve_model(model)
    if cases % processes:
        raise InputError(f"{cases} cases are not shared evenly by {processes} processes; choose a multiple.")
    prepare_folder(out)
    busy = psutil.getloadavg()[0]
    _keep_to_cores(processes)
    runs = [
        Run("one process, one core", 1, 1),
        Run(f"one process, {processes} cores", 1, processes),
        Run(f"{processes} processes, a core each", processes, 1),
    ]
    seconds = []
    with tempfile.TemporaryDirectory() as work:
        prepared = prepared_reports(Path(work) / "prepared", cases, found.index)
        for number, run in enumerate(runs):
            print_message(f"{run.label}: {cases} volumes", style="dim")
            seconds.append(measure(run, prepared.folder, found.path, steps, Path(work) / str(number)))
    ratios = {"one_core": seconds[0] / seconds[-1], "as_many_cores": seconds[1] / seconds[-1]}
    rows = [
        [run.label, f"{took:.1f}", f"{took / cases:.2f}", f"{seconds[0] / took:.2f}", f"{seconds[1] / took:.2f}"]
        for run, took in zip(runs, seconds, strict=True)
    ]
    table = Table(f"Making {cases} volumes, {found.index.name} {found.index.version}", COLUMNS, rows)
    table.show()
    facts = machine()
    notes = [
        f"{processes} processes are {ratios['one_core']:.2f} times as fast as one on one core"
        + (f" (the goal for two is {GOAL})" if processes == 2 else "")
        + f", and {ratios['as_many_cores']:.2f} times as fast as one on as many cores.",
        f"Loading is excluded. Measured on {machine_in_words(facts)}; load average before: {busy:.1f}.",
    ]
    for note in notes:
        print(note)
    content: dict[str, Any] = {
        "machine": facts,
        "load_before": busy,
        "model": {"name": found.index.name, "version": found.index.version, "sha256": found.sha256},
        "cases": cases,
        "results": [
            {"label": run.label, "processes": run.processes, "threads": run.threads, "seconds": took}
            for run, took in zip(runs, seconds, strict=True)
        ],
        "times_as_fast": ratios,
    }
    save_results(out, "synthesize", content, [table], notes)


def measure(run: Run, prepared: Path, model: Path, steps: int | None, out: Path) -> float:
    """Seconds that the command tells, without loading."""
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(run.processes)]
    command = [
        sys.executable, *(launcher if run.processes > 1 else []), "-m", "ccella_core", "synthesize", str(prepared),
        "--model", str(model), "--out", str(out), "--device", "cpu", "--json",
        *([] if steps is None else ["--steps", str(steps)]),
    ]  # fmt: skip
    environment = {**os.environ, "OMP_NUM_THREADS": str(run.threads)}
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, env=environment, encoding="utf-8")
    return float(json.loads(done.stdout)["seconds"])


def prepared_reports(folder: Path, cases: int, index: ModelIndex) -> PreparedSet:
    """Cases of which there is nothing but the report: nothing else is read."""
    settings = PrepareSettings(shape=index.native_shape, spacing=index.native_spacing_mm)
    write_index(folder, settings)
    write_cases(folder, [_case(seed, settings) for seed in range(cases)])
    return PreparedSet.open(folder)


def _case(seed: int, settings: PrepareSettings) -> PreparedCase:
    findings = draw_findings(seed)
    return PreparedCase(
        id=f"case{seed}",
        patient=f"patient{seed}",
        split="train",
        pathology=findings.pathology,
        pirads=None,
        reports=(write_report(findings, seed=seed),),
        report_source="given",
        fields=None,
        source_spacing_mm=settings.spacing,
        source_shape=settings.shape,
        has_regions=False,
        sha256={},
    )


def _keep_to_cores(count: int) -> None:
    """This process and those that it starts, where the system can."""
    process = psutil.Process()
    if not hasattr(process, "cpu_affinity"):
        return
    cores = process.cpu_affinity()
    if len(cores) < count:
        raise InputError(f"There are {len(cores)} processor cores for {count} processes; measure fewer.")
    process.cpu_affinity(cores[:count])


if __name__ == "__main__":
    app()
