"""Makes the README's pictures: `make pictures`. Needs Debian's chromium; shows sample data in the console,
and cards as Slack draws them.

With `--all FOLDER` every page, in light and dark, at desk and phone width, for whoever changes the look.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from playwright.async_api import async_playwright

from tests.channels import preview as cards
from tests.web.test_browser import FLAGS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from playwright.async_api import Browser, Page

ROOT = Path(__file__).resolve().parents[2]
PICTURES = ROOT / "fixtures" / "pictures"
STATEMENT = "q-0LINEAGE00"
SHOTS = {
    "held.png": ("/holds/h-0CANCEL000", 1100, 1010),
    "queue.png": ("/", 1100, 880),
    "decisions.png": ("/decisions", 1100, 900),
    "health.png": ("/status", 1100, 880),
    "log.png": ("/log", 1100, 760),
    "statement.png": (f"/statements/{STATEMENT}", 1100, 1440),
}
# sample cards in Slack, as its clients would draw them
CARDS = {
    "slack.png": ("slack", 760, 640),
    "slack-phone.png": ("slack", cards.PHONE, 785),
    "slack-similar.png": ("slack-similar", 760, 890),
}
PAGES = {
    "queue": "/",
    "hold": "/holds/h-0CANCEL000",
    "granting": "/holds/h-0EXPORT000",
    "similar": "/holds/h-0SIMILAR12/similar",
    "decisions": "/decisions",
    "log": "/log?text=customers&database=shop",
    "statement": f"/statements/{STATEMENT}",
    "agents": "/agents",
    "agent": "/agents/support-agent",
    "session": "/sessions/s-0LINEAGE000",
    "policy": "/policy",
    "status": "/status",
    "signin": "/signin",
}
WIDTHS = {"desk": 1180, "phone": 390}


@asynccontextmanager
async def preview() -> AsyncIterator[str]:
    """The address of a console with sample data."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.web.preview"), cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        yield (await asyncio.wait_for(process.stdout.readline(), 60)).decode().strip().rstrip("/")
    finally:
        process.terminate()
        await process.wait()


async def shown(page: Page, url: str) -> None:
    """The page as a person sees it after a moment; a statement with its proof worked out."""
    await page.goto(url)
    for summary in await page.locator(".further summary").all():
        await summary.click()
    if "/statements/" in url:
        await page.get_by_role("button", name="Verify here").click()
        await page.locator("#proof-said[data-said]:not([data-said=''])").wait_for()
        await page.locator("#lineage-title").evaluate("title => title.scrollIntoView()")


async def readme(chromium: Browser, url: str) -> None:
    PICTURES.mkdir(exist_ok=True)
    for name, (path, width, height) in SHOTS.items():
        page = await chromium.new_page(viewport={"width": width, "height": height})
        await shown(page, url + path)
        await page.screenshot(path=PICTURES / name)
        await page.close()
        print((PICTURES / name).relative_to(ROOT))


async def in_slack(chromium: Browser) -> None:
    drawn = {name: cards.page(blocks) for name, blocks in cards.samples().items()}
    for name, (sample, width, height) in CARDS.items():
        page = await chromium.new_page(viewport={"width": width, "height": height})
        await page.set_content(drawn[sample])
        await page.screenshot(path=PICTURES / name)
        await page.close()
        print((PICTURES / name).relative_to(ROOT))


async def everything(chromium: Browser, url: str, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for scheme in ("light", "dark"):
        for at, width in WIDTHS.items():
            page = await chromium.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
            for name, path in PAGES.items():
                await shown(page, url + path)
                await page.screenshot(path=folder / f"{name}-{at}-{scheme}.png", full_page=True)
            await page.close()


async def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--all", type=Path, metavar="FOLDER")
    given = parser.parse_args()
    found = shutil.which("chromium")
    if found is None:
        print("no `chromium` here; on Debian: apt-get install chromium", file=sys.stderr)
        return 1
    async with preview() as url, async_playwright() as driver:
        chromium = await driver.chromium.launch(executable_path=found, args=[*FLAGS, "--no-sandbox"])
        try:
            if given.all:
                await everything(chromium, url, given.all)
            else:
                await readme(chromium, url)
                await in_slack(chromium)
        finally:
            await chromium.close()
    return 0


if __name__ == "__main__":
    raise SystemExit(asyncio.run(main()))
