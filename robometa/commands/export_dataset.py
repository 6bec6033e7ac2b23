"""`robometa export-dataset`."""

from __future__ import annotations

import argparse

from robometa import suites
from robometa.commands import hints
from robometa.commands.arguments import Commands, Parser
from robometa.escape import printable, say
from robometa.storage.paths import folder_named

ABOUT = "write a dataset in Minari's format"
EXAMPLE = "robometa export-dataset runs/data --minari point-robot/oracle-v0"
MORE = """\
Minari keeps its datasets in ~/.minari/datasets, or where MINARI_DATASETS_PATH says. Load this one
by minari.load_dataset("point-robot/oracle-v0"). The metadata of each of its episodes has trial,
rollout, share of random actions and the task's hidden parameters."""


def add_to(commands: Commands) -> Parser:
    """Adds the command and its arguments."""
    parser = commands.add("export-dataset", ABOUT, _run, EXAMPLE, more=MORE)
    parser.add_argument("dataset", metavar="DATASET", type=folder_named, help="folder that `robometa collect` wrote")
    about = "name of the new one, with a version (required)"
    parser.add_argument("--minari", metavar="NAME", required=True, help=about)
    about = "file of the dataset's suite, if moved (default: as before)"
    parser.add_argument("--suite", metavar="FILE.toml", help=about)
    return parser


def _run(asked: argparse.Namespace) -> None:
    hints.require_dataset(asked.dataset)
    from robometa.trials import minari_export
    from robometa.trials.dataset import Dataset

    dataset = Dataset(asked.dataset)
    suite = suites.load(asked.suite or dataset.about.suite)
    folder = minari_export.export(dataset, suite, asked.minari)
    say(f"written: {printable(folder)}")
    say(f"next: python -c 'import minari; print(minari.load_dataset(\"{asked.minari}\"))'")
