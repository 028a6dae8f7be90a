"""Each command of README.md runs as it stands there, in a root file system of its own."""

import os
import subprocess
import sys

import pytest

from conftest import CACHE, DEADLINE, ROOT

# An overlay over this machine's root, in which everything may be written, without a network but
# for loopback, and with processes that end with it.
SCRIPT = r"""
set -e
ip link set lo up
mount -t tmpfs tmpfs "$SCRATCH"
layer() {
    mkdir -p "$SCRATCH/$3-upper" "$SCRATCH/$3-work" "$2"
    mount -t overlay overlay -o "lowerdir=$1,upperdir=$SCRATCH/$3-upper,workdir=$SCRATCH/$3-work" "$2"
}
root=$SCRATCH/root
layer / "$root" root || exit 77
layer "$SOURCE" "$root$SOURCE" source
mkdir -p "$root$CACHE"
mount --bind "$CACHE" "$root$CACHE"
mount --rbind /dev "$root/dev"
mount -t proc proc "$root/proc"
exec chroot "$root" /bin/sh -c 'cd "$SOURCE" && exec "$PYTHON" tests/outer/readme.py'
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="a root file system of its own needs root")
def test_every_command_of_the_readme_does_what_it_says(tmp_path):
    done = subprocess.run(
        ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "bash", "-c", SCRIPT],
        env={**os.environ, "SCRATCH": str(tmp_path), "SOURCE": str(ROOT), "CACHE": str(CACHE),
             "PYTHON": sys.executable, "PYTHONDONTWRITEBYTECODE": "1"},
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=10 * DEADLINE,
    )
    if done.returncode == 77:
        pytest.skip("no overlay file system here")
    assert done.returncode == 0, done.stdout + done.stderr
