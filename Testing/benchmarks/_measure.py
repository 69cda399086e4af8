"""What the benchmarks share: the machine in words, memory, and results as a table on the screen and in files."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import psutil
from pydantic import BaseModel
from rich.console import Console
from rich.table import Table as ScreenTable

from ccella_core.errors import CCELLAError, SaveError
from ccella_core.files import whole_file

GIB = 2**30
DEFAULT_OUT = Path("out/benchmarks")
NOT_MEASURED = "–"

REFUSED = 2
"""The exit code of a measurement that cannot be made, as that of a command."""

Result = TypeVar("Result", bound=BaseModel)
Case = TypeVar("Case", bound=BaseModel)


@dataclass(frozen=True)
class Table:
    """Cells as text; the first column is aligned left, all others right."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]

    def show(self) -> None:
        """Print it on stdout, whole however narrow the terminal: a line that wraps is better than digits left out."""
        table = ScreenTable(title=self.title, title_justify="left")
        for number, column in enumerate(self.columns):
            table.add_column(column, justify="right" if number else "left", overflow="fold")
        for row in self.rows:
            table.add_row(*row)
        Console().print(table)

    def markdown(self) -> str:
        lines = [f"### {self.title}", "", _line(self.columns), _line(["---", *["---:"] * (len(self.columns) - 1)])]
        return "\n".join([*lines, *map(_line, self.rows), ""])


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def save_results(out: Path, name: str, content: dict[str, Any], tables: Sequence[Table], notes: Sequence[str]) -> None:
    """Write ``name.json`` and ``name.md`` into the folder ``out``. Raises SaveError."""
    document = "\n".join([*(table.markdown() for table in tables), *(f"{note}\n" for note in notes)])
    texts = {f"{name}.json": json.dumps(content, indent=2, ensure_ascii=False) + "\n", f"{name}.md": document}
    for file, text in texts.items():
        try:
            with whole_file(out / file) as temporary:
                temporary.write_text(text, encoding="utf-8", newline="\n")
        except OSError as error:
            raise SaveError(f"{out / file} could not be written: {error.strerror or error}.") from error


def machine() -> dict[str, Any]:
    """What a reader needs to compare timings: processor, cores, threads, memory and the versions that compute."""
    import monai
    import torch

    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "memory_gib": round(psutil.virtual_memory().total / GIB, 1),
        "system": platform.system(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "monai": monai.__version__,
    }


def machine_in_words(facts: dict[str, Any]) -> str:
    return (
        f"{facts['processor']}, {facts['threads']} threads on {facts['cores']} cores, {facts['memory_gib']} GiB, "
        f"{facts['system']}; torch {facts['torch']}, MONAI {facts['monai']}"
    )


def _processor() -> str:
    # On Linux Python knows the architecture only; the kernel knows the name.
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def measured_apart(
    script: str, case: BaseModel, result: type[Result], *, what: str, needed_gib: float, free_gib: float | None = None
) -> Result | str:
    """What a script beside this one measures of ``case`` in a process of its own, or a sentence that says why not.

    ``free_gib``: memory where it computes; by default this computer's.
    """
    free = psutil.virtual_memory().available / GIB if free_gib is None else free_gib
    if needed_gib > free:
        return f"Left out: {what}: it asks for {needed_gib:.1f} GiB of memory, and {free:.1f} are free."
    try:
        return in_own_process(script, case, result)
    except subprocess.CalledProcessError as error:
        if error.returncode < 0:
            return f"Left out: {what}: the system ended it with signal {-error.returncode}, likely for want of memory."
        if error.returncode == REFUSED:
            return f"Left out: {what}: {error.stdout.splitlines()[-1]}"
        raise


def answer(measure: Callable[[Case], BaseModel], case: type[Case]) -> None:
    """What a script prints that ``measured_apart`` has started: its result, or why there is none."""
    try:
        print(measure(case.model_validate_json(sys.argv[1])).model_dump_json())
    except CCELLAError as error:
        print(error)
        sys.exit(REFUSED)


def in_own_process(script: str, case: BaseModel, result: type[Result]) -> Result:
    command = [sys.executable, str(Path(__file__).with_name(script)), case.model_dump_json()]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, encoding="utf-8")
    return result.model_validate_json(done.stdout.splitlines()[-1])


def ratio(value: float, plain: float | None) -> str:
    """As a part of the plain way's, in a table."""
    return f"{value / plain:.2f}" if plain else NOT_MEASURED


def current_memory_gib() -> float:
    """What this process holds now."""
    return psutil.Process().memory_info().rss / GIB


def peak_memory_gib() -> float:
    """The most that this process ever held."""
    if platform.system() == "Windows":
        return psutil.Process().memory_info().peak_wset / GIB
    try:
        # Linux's ru_maxrss would begin at what the parent process held when it started this one.
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) * 1024 / GIB
    except (OSError, StopIteration):
        import resource

        unit = 1 if platform.system() == "Darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / GIB
