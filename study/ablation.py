"""Trains the ablation of the inner loss, cell by cell, and writes its table into docs/inner-loss.md.

`python -m study.ablation` trains what is missing on one core, one cell after another; a cell that was stopped goes on
from its last checkpoint. `--commit` commits every record as soon as it is there.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from robometa import suites
from robometa.errors import UserError, unknown
from robometa.registry.options import resolve
from robometa.reports.gap import KEYS, words_of_gap
from study import cell as filling
from study import plan
from study.rows import Row, row_of

PLAN = Path(__file__).parent / "ablation.toml"
PAGE = Path("docs") / "inner-loss.md"
BEGIN, END = "<!-- ablation, written by python -m study.ablation -->\n", "<!-- end of ablation -->\n"
HEAD = """| variant | seeds | before | after one shot | after two | gap closed by means | training |
| --- | --- | --- | --- | --- | --- | --- |
"""


@dataclass(frozen=True)
class Variant(plan.Cell):
    """A cell of the ablation: a learner with some options, under a name of its own."""

    variant: str = ""

    @property
    def name(self) -> str:
        """Name of its files."""
        return f"{self.variant}-{self.seed}"

    @property
    def record(self) -> Path:
        """File of its result."""
        return plan.RESULTS / "ablation" / self.suite / f"{self.name}.json"

    @property
    def run(self) -> Path:
        """Folder of its run."""
        return Path("runs") / "ablation" / self.suite / self.name


@dataclass(frozen=True)
class Ablation:
    """Everything that the ablation's table should hold."""

    shots: int
    worlds: int
    cells: tuple[Variant, ...]


def read(path: Path = PLAN) -> Ablation:
    """The ablation of a file, seed by seed, so that an unfinished table compares all variants.

    Raises:
        UserError: If it names a suite, a learner, a preset or an option that does not exist.
    """
    table = tomllib.loads(path.read_text(encoding="utf-8"))
    suite, cells = suites.load(table["suite"]), []
    for name, row in table["variants"].items():
        options, preset = plan.frozen_options(row["options"]), row.get("preset")
        resolve(suite, row["learner"], options, preset)
        for seed in table["seeds"]:
            cells.append(Variant(suite.name, row["learner"], seed, tuple(options.items()), preset=preset, variant=name))
    cells.sort(key=lambda cell: cell.seed)
    return Ablation(table["shots"], table["worlds"], tuple(cells))


def main(words: Sequence[str] | None = None) -> int:
    """Trains what is missing and writes the table."""
    asked = arguments(words)
    try:
        chosen = read()
        cells = wanted(chosen, asked)
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    if asked.cell:
        filling.fill(cells[0], chosen.shots, chosen.worlds)
        return 0
    for cell in cells:
        if cell.done() or asked.table:
            continue
        print(f"{cell.suite} {cell.name}: {dict(cell.options)}", flush=True)
        alone = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(PLAN.parents[1])}
        command = [sys.executable, "-P", "-m", "study.ablation", "--cell", cell.name]
        if subprocess.run(command, env=alone, check=False).returncode:
            print(f"{cell.name} stopped; the same command goes on from its last checkpoint", file=sys.stderr)
            return 1
        if asked.commit:
            committed(cell)
    write(chosen)
    left = sum(not cell.done() for cell in chosen.cells)
    print(f"{PAGE}: {len(chosen.cells) - left} of {len(chosen.cells)} cells, {left} missing")
    return 0


def arguments(words: Sequence[str] | None) -> argparse.Namespace:
    """Arguments of the command line."""
    parser = argparse.ArgumentParser(prog="python -m study.ablation", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", nargs="+", metavar="VARIANT", help="fill the cells of these variants only")
    parser.add_argument("--seeds", nargs="+", type=int, metavar="SEED", help="fill the cells of these seeds only")
    parser.add_argument("--commit", action="store_true", help="commit every record as soon as it is there")
    parser.add_argument("--table", action="store_true", help="run nothing: write the table of what is there")
    parser.add_argument("--cell", metavar="NAME", help="fill this one cell in this process")
    return parser.parse_args(words)


def wanted(chosen: Ablation, asked: argparse.Namespace) -> list[Variant]:
    """The cells that a command line asks for.

    Raises:
        UserError: If it names a variant or a cell that is not in the plan.
    """
    variants, names = {cell.variant for cell in chosen.cells}, {cell.name for cell in chosen.cells}
    for kind, given, known in (("variant", asked.only or [], variants), ("cell", [asked.cell or ""], names | {""})):
        for name in given:
            if name not in known:
                raise UserError(unknown(kind, name, known, str(PLAN)))
    return [
        cell
        for cell in chosen.cells
        if (asked.cell in (None, cell.name))
        and (asked.only is None or cell.variant in asked.only)
        and (asked.seeds is None or cell.seed in asked.seeds)
    ]


def committed(cell: Variant) -> None:
    """Commits a record, and nothing else."""
    filling.git("add", "--", str(cell.record))
    message = f"Ablation of the inner loss: {cell.variant}, seed {cell.seed}"
    filling.git("commit", "--quiet", "-m", message, "--", str(cell.record))


def write(chosen: Ablation) -> None:
    """Writes the table between the page's marks."""
    page = PAGE.read_text(encoding="utf-8")
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}{markdown(chosen)}{END}{after}", encoding="utf-8")


def markdown(chosen: Ablation) -> str:
    """The table: a line for each variant with a record; means over tasks, then over seeds."""
    lines = []
    for variant in dict.fromkeys(cell.variant for cell in chosen.cells):
        cells: list[plan.Cell] = [cell for cell in chosen.cells if cell.variant == variant]
        row = row_of(cells)
        if row is not None:
            lines.append(f"| {variant} | {len(row.seeds)}/{row.wanted} | {_numbers(row)} |\n")
    return HEAD + "".join(lines) if lines else "No cell is trained yet.\n"


def _numbers(row: Row) -> str:
    means = [f"{value:.1f}" for value in row.mean]
    gaps = [words_of_gap(shot, KEYS[3]) for shot in row.gap[1:]]
    training = f"{row.environment_steps / 1e6:.1f}M steps, {row.core_minutes:.1f} core-minutes"
    return " | ".join([*means, "; ".join(gaps), training])


if __name__ == "__main__":
    sys.exit(main())
