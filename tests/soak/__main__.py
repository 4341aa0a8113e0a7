"""`make soak`: SOAK_HOLDS acts are asked for (5000), SOAK_SEED makes the dice fall the same way again."""

from __future__ import annotations

import asyncio
import os
import random
import sys
import tempfile
import time
from pathlib import Path

from firewall.demo.postgres import EmbeddedPostgres
from tests.soak.books import Books, audit_all
from tests.soak.play import Play
from tests.soak.stage import Stage

SHOWN = 20


async def soak(acts: int, seed: int) -> tuple[Play, Books]:
    """One play and its books."""
    with tempfile.TemporaryDirectory(prefix="query-firewall-soak-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        settings = {"fsync": "off", "synchronous_commit": "off", "max_connections": "300"}
        with EmbeddedPostgres(folder / "postgres", settings=settings) as postgres:
            stage = Stage(folder, postgres)
            stage.prepare()
            await asyncio.to_thread(stage.start)
            play = Play(stage, acts, random.Random(seed))
            try:
                await play.run()
            finally:
                stage.stop()
            return play, await audit_all(stage, play)


def main() -> int:
    acts = int(os.environ.get("SOAK_HOLDS", "5000"))
    seed = int(os.environ.get("SOAK_SEED", str(random.SystemRandom().getrandbits(32))))
    print(f"soak: {acts} acts, SOAK_SEED={seed}", flush=True)
    began = time.monotonic()
    play, books = asyncio.run(soak(acts, seed))
    for line in books.wrong[:SHOWN]:
        print(f"wrong: {line}")
    if len(books.wrong) > SHOWN:
        print(f"and {len(books.wrong) - SHOWN} more")
    states = ", ".join(f"{number} {state}" for state, number in sorted(books.states.items()))
    told = ", ".join(f"{number} × {what}" for what, number in sorted(play.told.items()))
    print(f"agents were told: {sum(play.seen.values())} × done, {told}")
    print(
        f"soak: {books.holds} holds ({states}), {play.clicks} clicks of which {play.counted} counted, "
        f"{play.cancels} cancels, {play.stage.kills} kills; {books.double} double executions, "
        f"{books.lost} lost, a log of {books.records} records that "
        f"{'does not hold' if books.wrong else 'verifies'}; {time.monotonic() - began:.0f} s"
    )
    return 1 if books.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
