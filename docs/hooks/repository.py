"""Files of the repository on the site: what a page links to outside of `docs/` comes along when the site is built.

A link such as `../results/README.md` works on the repository's own pages. Here its target becomes a page (Markdown), a
page that shows the text (code and tables of text) or a file (pictures, videos), and the link leads there.
"""

from __future__ import annotations

import os
import re
from pathlib import Path, PurePosixPath
from typing import Any

from mkdocs.structure.files import File, Files, InclusionLevel

ROOT = Path(__file__).parents[2]
DOCS = "docs"
PREFIX = "repository"
"""Folder of the site in which the repository's files are."""
LINK = re.compile(r"(\]\()([^)\s#]+)(#[^)\s]*)?(\))")
FENCE = re.compile(r"(^```.*?^```|^~~~.*?^~~~|`[^`\n]*`)", re.DOTALL | re.MULTILINE)
LANGUAGES = {
    ".cff": "yaml",
    ".cpp": "cpp",
    ".json": "json",
    ".py": "python",
    ".toml": "toml",
    ".xml": "xml",
    ".yml": "yaml",
}
LARGEST = 60_000
"""Bytes of a text file that is shown as a page; a larger one is offered as a file."""


def on_files(files: Files, config: Any, **_: Any) -> Files:
    """Adds every file of the repository that a page leads to, page after page until there are no more.

    Args:
        files: The files of `docs/`.
        config: The site's configuration.

    Returns:
        The same, with the repository's files among them.
    """
    pages = [file for file in files.documentation_pages() if file.abs_src_path]
    waiting = [(f"{DOCS}/{file.src_uri}", Path(str(file.abs_src_path)).read_text(encoding="utf-8")) for file in pages]
    known: set[str] = set()
    while waiting:
        page, text = waiting.pop()
        for target in sorted(set(outside(page, text)) - known):
            known.add(target)
            path = ROOT / target
            if path.suffix == ".md":
                waiting.append((target, path.read_text(encoding="utf-8")))
            files.append(_file(target, config))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Makes a page's links to the repository's files lead to their copies on the site.

    Args:
        markdown: The page.
        page: Knows where it is.

    Returns:
        The page with its links changed.
    """
    here = source(page.file.src_uri)

    def moved(match: re.Match[str]) -> str:
        target = resolved(here, match[2])
        if target is None:
            return match[0]
        way = os.path.relpath(site_path(target), PurePosixPath(page.file.src_uri).parent)
        return f"{match[1]}{way}{match[3] or ''}{match[4]}"

    return "".join(part if place % 2 else LINK.sub(moved, part) for place, part in enumerate(FENCE.split(markdown)))


def source(uri: str) -> str:
    """Converts a page's place on the site to its place in the repository."""
    return uri.removeprefix(f"{PREFIX}/") if uri.startswith(f"{PREFIX}/") else f"{DOCS}/{uri}"


def site_path(target: str) -> str:
    """Converts a file's place in the repository to its source's place on the site.

    Args:
        target: From the repository's root.

    Returns:
        The path of a page's Markdown, or of a file.
    """
    if target.startswith(f"{DOCS}/"):
        return target.removeprefix(f"{DOCS}/")
    return f"{PREFIX}/{target}.md" if _shown(target) else f"{PREFIX}/{target}"


def outside(page: str, text: str) -> list[str]:
    """Lists the repository's files outside of `docs/` that a page links to.

    Args:
        page: Its path from the repository's root.
        text: The page's Markdown.

    Returns:
        Paths from the repository's root.
    """
    prose = FENCE.sub("", text)
    targets = (resolved(page, match[2]) for match in LINK.finditer(prose))
    return [target for target in targets if target is not None and not target.startswith(f"{DOCS}/")]


def resolved(page: str, link: str) -> str | None:
    """Finds the file of the repository that a link leads to.

    Args:
        page: Path of the page from the repository's root.
        link: As it is written there.

    Returns:
        A path from the repository's root; None if the link leads elsewhere or to nothing that exists.
    """
    if "://" in link or link.startswith(("/", "mailto:")):
        return None
    target = os.path.normpath(f"{PurePosixPath(page).parent}/{link}").replace(os.sep, "/")
    return target if not target.startswith("..") and (ROOT / target).is_file() else None


def _shown(target: str) -> bool:
    """True if a file becomes a page that shows its text."""
    return PurePosixPath(target).suffix in LANGUAGES and (ROOT / target).stat().st_size <= LARGEST


def _file(target: str, config: Any) -> File:
    uri, path = site_path(target), ROOT / target
    if not _shown(target):
        made = File.generated(config, uri, abs_src_path=str(path))
    else:
        text = path.read_text(encoding="utf-8").rstrip()
        language = LANGUAGES[path.suffix]
        made = File.generated(config, uri, content=f"# {target}\n\n````{language}\n{text}\n````\n")
    made.inclusion = InclusionLevel.NOT_IN_NAV
    return made
