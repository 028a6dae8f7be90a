"""Some seconds of the mixed load and the siege that `make soak` keeps up for an hour."""

import asyncio

from soak import Soak

SECONDS = 9


def test_mixed_load_beside_attackers_loses_nothing_and_leaves_nothing_behind(site, tmp_path, figure):
    asyncio.run(Soak(site, tmp_path).run(SECONDS, lambda line: figure(f"soak: {line}")))
