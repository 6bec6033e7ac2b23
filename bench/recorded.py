"""The command line of a benchmark whose figures stand in a record and on a page."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.report import write_page


@dataclass(frozen=True)
class Recorded:
    """A benchmark, and where its figures are kept."""

    parser: argparse.ArgumentParser
    """With the options that this benchmark alone has."""
    measured: Callable[[argparse.Namespace, Callable[[str], None]], dict[str, Any]]
    """Measures by the options, saying how far it is."""
    as_text: Callable[[dict[str, Any]], str]
    """The measurements as Markdown."""
    record: Path
    page: Path

    def run(self, words: Sequence[str] | None) -> int:
        """Measures, prints and writes.

        Args:
            words: The command line; this process's if None.

        Returns:
            0.
        """
        add, where = self.parser.add_argument, f"write {self.record} and {self.page}"
        add("--quick", action="store_true", help="tiny sizes: shows that everything runs, measures nothing")
        add("--from", dest="record", type=Path, metavar="FILE", help="tables of these measurements")
        add("--write", action="store_true", help=where)
        add("--json", type=Path, metavar="FILE", help="write the measurements to a file, too")
        chosen = self.parser.parse_args(words)
        if chosen.write and chosen.quick:
            self.parser.error("--write takes whole sizes: leave out --quick")
        if chosen.record is not None:
            record = json.loads(chosen.record.read_text(encoding="utf-8"))
        else:
            record = self.measured(chosen, lambda said: print(said, file=sys.stderr))
        text = self.as_text(record)
        print(text)
        content = json.dumps(record, indent=2) + "\n"
        if chosen.json is not None:
            chosen.json.write_text(content, encoding="utf-8")
        if chosen.write:
            self.record.write_text(content, encoding="utf-8")
            write_page(self.page, text)
        return 0
