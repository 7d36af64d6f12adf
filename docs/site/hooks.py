"""What the site needs besides the pages: three at the top of the repository, links that stay in the site.

A link to a page leads to that page. One to a file that is no page, such as a module, is shown as its
text: the site has no address of the repository.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"

TOP = {
    "README.md": "about.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
}
"""Pages at the top of the repository, and their names in the site."""

_LINK = re.compile(r"(?<!!)\[((?:[^\[\]]|\[[^\]]*\])+)\]\(([^)\s]+)\)")
_IMAGE = re.compile(r"(!\[[^\]]*\]\()docs/")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pages at the top of the repository."""
    for path, name in TOP.items():
        text = (ROOT / path).read_text(encoding="utf-8")
        files.append(File.generated(config, name, content=_IMAGE.sub(r"\1", text)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Returns the text of a page with links that lead to pages of the site."""
    del config, files
    here = page.file.src_uri
    folder = ROOT if here in TOP.values() else (DOCS / here).parent

    def changed(link: re.Match[str]) -> str:
        text, address = link.groups()
        path, mark, anchor = address.partition("#")
        if not path or "://" in address:
            return link[0]
        target = Path(os.path.normpath(folder / path))
        if target.is_dir():
            target /= "README.md"
        if name := TOP.get(target.relative_to(ROOT).as_posix()):
            target = DOCS / name
        elif not target.is_relative_to(DOCS):
            return text
        return f"[{text}]({os.path.relpath(target, (DOCS / here).parent)}{mark}{anchor})"

    return _LINK.sub(changed, markdown)
