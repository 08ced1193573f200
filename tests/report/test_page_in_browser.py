"""The page of a sweep in a real browser: what its script does, and whether everybody can use it.

Needs `chromium` (or Chrome) on the path; for accessibility also axe-core (`npm pack axe-core`): its
`axe.min.js` is named by W2SWEEP_AXE, or lies in node_modules/.
"""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from conftest import REPOSITORY
from fake_sweep import cell, change, fail, fake_sweep, record, results

from w2sweep.report import report
from w2sweep.results.cell import ROLES, Result
from w2sweep.results.shown import Shown

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
BROWSER = next(filter(None, map(shutil.which, BROWSERS)), None)
AXE = Path(os.environ.get("W2SWEEP_AXE", REPOSITORY / "node_modules/axe-core/axe.min.js"))
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium on the path")

SCHEMES = {"light": 1, "dark": 0}
HOSTILE = "</script><img src=x onerror=\"document.title='run'\">"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page with all that pages have: 29 rows, examples, cells that failed."""
    sweep = fake_sweep(tmp_path_factory.mktemp("browser") / "s", diagnosed=True, seeds=1)
    for folder, result in results(sweep).items():
        change(folder, result, shown=[example(kind, 7) for kind in ("corrected", "spoiled")])
    failed = cell(sweep, task="mate", weak="nano", strong="small", method="naive", seed=0)
    assert isinstance(record(failed), Result)
    fail(failed, "no memory: " + "x" * 300)
    return report(sweep).page


def example(kind: Any, number: int) -> Shown:
    said = {"supervisor": "0", "student": "1", "ceiling": "1"}
    truth = "1" if kind == "corrected" else "0"
    sure = {str(role): 0.75 for role in ROLES}
    return Shown(kind, number, [HOSTILE], truth, said, sure)


def looked_at(page: Path, script: str, scheme: str = "light", width: int = 1280) -> Any:
    """What a script, run at the end of a page, returns; errors of the page are in it."""
    told = f"""<script>
      window.addEventListener("load", async () => {{
        let found;
        try {{ found = await (async () => {{ {script} }})(); }}
        catch (error) {{ found = {{error: String(error)}}; }}
        const box = document.createElement("pre");
        box.id = "told";
        box.textContent = JSON.stringify(found);
        document.body.append(box);
      }});</script></body>"""
    text = page.read_text(encoding="utf-8")
    copy = page.with_name(f"looked-at-{scheme}-{width}.html")
    copy.write_text(text.replace("</body>", told), encoding="utf-8")
    assert BROWSER is not None  # without a sandbox, for containers run it as root
    asked = [
        *(BROWSER, "--headless", "--disable-gpu", "--no-first-run", "--virtual-time-budget=20000"),
        *("--no-sandbox", f"--window-size={width},900", f"--user-data-dir={page.parent / 'user'}"),
        *(f"--blink-settings=preferredColorScheme={SCHEMES[scheme]}", "--dump-dom", copy.as_uri()),
    ]
    done = subprocess.run(asked, capture_output=True, text=True, timeout=120, check=True)
    copy.unlink()
    [found] = re.findall(r'<pre id="told">(.*?)</pre>', done.stdout, re.DOTALL)
    return json.loads(html.unescape(found))


def test_headings_sort_filters_filter_and_nothing_in_a_text_runs(page: Path):
    found = looked_at(
        page,
        """
        const table = document.querySelector("#summary"), rows = () => [...table.tBodies[0].rows];
        const heads = [...table.tHead.rows[0].cells];
        const at = heads.findIndex(th => th.textContent === "student %");
        const button = heads[at].querySelector("button");
        button.focus();
        const focused = document.activeElement === button;
        const column = () => rows().map(row => +row.cells[at].dataset.value);
        button.click();
        const up = column(), said = heads[at].getAttribute("aria-sort");
        button.click();
        const down = column(), then = heads[at].getAttribute("aria-sort");
        const box = document.querySelector("[aria-label='Filter: summary']");
        const select = box.querySelector("select");
        select.value = "mate";
        select.dispatchEvent(new Event("input", {bubbles: true}));
        const seen = rows().filter(row => !row.hidden).map(row => row.cells[0].textContent);
        const cards = [...document.querySelectorAll(".example")];
        const visible = () => cards.filter(card => !card.hidden);
        const first = visible().length;
        const kind = document.querySelector("[aria-label='Filter: examples'] select");
        kind.value = "supervisor right, student wrong";
        kind.dispatchEvent(new Event("input", {bubbles: true}));
        const kinds = [...new Set(visible().map(card => card.dataset.kind))];
        return {focused, up, said, down, then, seen, status: box.lastChild.textContent, first,
          kinds, title: document.title, text: cards[0].querySelector("blockquote").textContent};
        """,
    )
    assert found["focused"]
    assert found["up"] == sorted(found["up"])
    assert found["down"] == found["up"][::-1]
    assert (found["said"], found["then"]) == ("ascending", "descending")
    assert found["seen"] == ["mate"] * 5  # one failed
    assert found["status"] == "5 of 29"
    assert found["first"] == 8
    assert found["kinds"] == ["supervisor right, student wrong"]
    assert found["text"] == HOSTILE
    assert found["title"] == "s · w2sweep"


@pytest.mark.parametrize("width", [400, 1280])
def test_a_page_is_never_wider_than_its_window(page: Path, width: int):
    found = looked_at(
        page,
        """
        document.querySelectorAll("details").forEach(details => { details.open = true; });
        return [document.documentElement.scrollWidth, innerWidth];
        """,
        width=width,
    )
    assert found[0] <= found[1]


@pytest.mark.skipif(not AXE.is_file(), reason="no axe-core: W2SWEEP_AXE names its axe.min.js")
@pytest.mark.parametrize("scheme", SCHEMES)
def test_axe_finds_nothing_serious(page: Path, scheme: str):
    axe = AXE.read_text(encoding="utf-8").replace("</script>", "<\\/script>")
    found = looked_at(
        page,
        f"""
        document.querySelectorAll("details").forEach(details => {{ details.open = true; }});
        {axe}
        const dark = matchMedia("(prefers-color-scheme: dark)").matches;
        const {{violations, passes}} = await axe.run();
        const said = violations.map(v => [v.impact, v.id, v.nodes[0].html]);
        return {{dark, said, passes: passes.length}};
        """,
        scheme,
    )
    assert found["dark"] == (scheme == "dark")
    assert found["passes"] > 20
    assert [said for said in found["said"] if said[0] in ("serious", "critical")] == []
