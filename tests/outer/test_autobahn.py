"""The Autobahn test suite's cases, driven by kosoku, through each framing."""

import json
import shutil
import subprocess

import pytest

from conftest import CACHE

# Seconds for one whole run; it takes some 15 when nothing is lost.
LIMIT = 600

# Without permessage-deflate (groups 12 and 13) there are this many cases.
CASES = 301

# Cases whose best possible behaviour is "informational".
INFORMATIONAL = {"7.1.6", "7.13.1", "7.13.2"}

# An empty message puts no byte on a stream, so nothing comes back.
EMPTY = ["1.1.1", "1.2.1", "6.1.1", "6.1.2", "9.7.1", "9.8.1"]

# Messages longer than a buffer come back in several: a stream has no boundaries.
LONG = {"9.1.*": 6, "9.2.*": 6, "9.3.*": 9, "9.4.*": 9, "9.5.*": 6, "9.6.*": 6}


def run(site, report, include, exclude):
    """Runs the cases and returns {case: result}."""
    shutil.rmtree(report, ignore_errors=True)
    command = [CACHE / "venv" / "bin" / "kosoku", "-p", "1", "-o", report]
    command += [word for case in include for word in ("-i", case)]
    command += [word for case in exclude for word in ("-x", case)]
    # Its exit code is 1 for what is informational too, so only the report counts.
    subprocess.run([*command, site.url("echo")], timeout=LIMIT, check=False,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    (results,) = json.loads((report / "index.json").read_text()).values()
    return results


def is_good(case, result):
    """True for the best behaviour that this case can show."""
    best = "INFORMATIONAL" if case in INFORMATIONAL else "OK"
    return result["behavior"] == best and result["behaviorClose"] in ("OK", "INFORMATIONAL")


@pytest.mark.parametrize(
    ("name", "options", "settings", "excluded", "left_out"),
    [
        # Few threads, and none for who is silent.
        ("parked", ["-q"], "park = 1;", [], 0),
        ("seqpacket", ["-q"], "", [], 0),
        ("length", [], 'framing = "length";', [], 0),
        ("line", [], 'framing = "line";', [], 0),
        ("stream", [], "", EMPTY + list(LONG), len(EMPTY) + sum(LONG.values())),
    ],
)
def test_every_case_is_ok(site, out, figure, name, options, settings, excluded, left_out):
    site.backend("echo", *options)
    site.start(websocket=settings + " maxmessage = 16777216;",
               server="maxthreads = 8;" if "park" in settings else "")
    report = out / f"autobahn-{name}"
    results = run(site, report, [], ["12.*", "13.*", *excluded])
    assert len(results) == CASES - left_out
    bad = [case for case, result in results.items() if not is_good(case, result)]
    # Once more for each: some cases have timers of their own, and machines are busy.
    if bad:
        again = run(site, out / f"autobahn-{name}-again", bad, [])
        bad = {case: result for case, result in again.items() if not is_good(case, result)}
    figure(f"Autobahn, {name}: {len(results) - len(bad)} of {len(results)} as they should be")
    assert not bad
