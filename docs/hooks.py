"""What the documentation site has that is not in docs/: the README as its first page, the other
pages of the root, and the notebooks. Links between them lead to pages of the site, and the same
links lead to files where the sources are read as they are."""

from __future__ import annotations

import json
import posixpath
import re
import tomllib
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[1]
FROM_ROOT = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "CONTRIBUTING.md",
    "CHANGELOG.md": "CHANGELOG.md",
    "CITATION.cff": "CITATION.cff",
}
"""Files of the root -> what they are on the site."""
LINK = re.compile(r"(?<=\]\()(?!https?:|#|mailto:)([^)\s#]+)(#[^)\s]*)?(?=\))")
"""The target of a link to a file: its path, and maybe a place in it."""


def on_config(config: Any) -> Any:
    """Called by MkDocs: where the code lives is said in pyproject.toml alone."""
    config.repo_url = repository()
    return config


def on_files(files: Any, config: Any) -> Any:
    """Called by MkDocs: adds the pages that are not in docs/."""
    from mkdocs.structure.files import File

    for source, name in FROM_ROOT.items():
        text = (REPOSITORY / source).read_text("utf-8")
        files.append(File.generated(config, name, content=text))
    for notebook in sorted(Path(config.docs_dir).rglob("*.ipynb")):
        page = notebook.relative_to(config.docs_dir).with_suffix(".md").as_posix()
        files.append(File.generated(config, page, content=as_page(notebook)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Called by MkDocs with the text of each page."""
    return linked(markdown, page.file.src_uri)


def repository() -> str | None:
    """The address of the repository; None as long as nobody has said it."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))["project"]
    return project["urls"].get("Repository")


def linked(text: str, page: str) -> str:
    """The text of a page whose links to files lead to pages of the site, and to the repository
    where they are none. As long as that has no address they are left as they are, for MkDocs to
    complain of."""
    source = next((file for file, its in FROM_ROOT.items() if its == page), f"docs/{page}")
    folder = posixpath.dirname(source)

    def target(link: re.Match[str]) -> str:
        file = posixpath.normpath(posixpath.join(folder, link[1]))
        place = link[2] or ""
        if on_site := _on_site(file):
            return posixpath.relpath(on_site, posixpath.dirname(page) or ".") + place
        return f"{repository()}/blob/main/{file}" if repository() else link[0]

    return LINK.sub(target, text)


def _on_site(file: str) -> str | None:
    """What a file of the repository is on the site; None where it is not there."""
    if file in FROM_ROOT:
        return FROM_ROOT[file]
    if file.startswith("docs/"):
        return re.sub(r"\.ipynb$", ".md", file.removeprefix("docs/"))
    return None


def as_page(notebook: Path) -> str:
    """A notebook as Markdown, without outputs: it has none."""
    cells = json.loads(notebook.read_text("utf-8"))["cells"]
    return "\n\n".join(map(_as_block, cells)) + "\n"


def _as_block(cell: dict[str, Any]) -> str:
    text = "".join(cell["source"])
    return text if cell["cell_type"] == "markdown" else f"```python\n{text}\n```"
