"""Makes the README's pictures: `make pictures`. Needs Debian's chromium; shows the console's sample data."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import aiohttp

ROOT = Path(__file__).resolve().parents[2]
PICTURES = ROOT / "fixtures" / "pictures"
SHOTS = {
    "held.png": ("/holds/h-0CANCEL000", "1100,1010"),
    "queue.png": ("/", "1100,880"),
}
# without these, headless Chromium asks its maker's servers for this and that
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)


async def main() -> int:
    chromium = shutil.which("chromium")
    if chromium is None:
        print("no `chromium` here; on Debian: apt-get install chromium", file=sys.stderr)
        return 1
    preview = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.web.preview"), cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    assert preview.stdout is not None
    try:
        url = (await asyncio.wait_for(preview.stdout.readline(), 60)).decode().strip().rstrip("/")
        await _answers(url)
        PICTURES.mkdir(exist_ok=True)
        for name, (path, size) in SHOTS.items():
            with tempfile.TemporaryDirectory() as profile:
                target = PICTURES / name
                shot = (f"--user-data-dir={profile}", f"--window-size={size}", f"--screenshot={target}")
                await asyncio.to_thread(
                    subprocess.run, [chromium, *FLAGS, *shot, url + path], check=True, capture_output=True
                )
                print(target.relative_to(ROOT))
    finally:
        preview.terminate()
        await preview.wait()
    return 0


async def _answers(url: str) -> None:
    async with asyncio.timeout(30), aiohttp.ClientSession() as http:
        while True:
            try:
                async with http.get(f"{url}/health") as answer:
                    if answer.status == 200:
                        return
            except aiohttp.ClientError:
                await asyncio.sleep(0.1)


if __name__ == "__main__":
    raise SystemExit(asyncio.run(main()))
