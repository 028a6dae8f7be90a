"""Each command of README.md runs as it stands there, on Debian's minimum and what the README names."""

import os
import pathlib
import shutil
import subprocess
import sys

import pytest

import bare
from conftest import DEADLINE, ROOT

# What the README asks for beside Rust. pkg-config is on the line that needs it.
NEEDED = ["make", "gcc", "libc6-dev", "pkg-config"]

# Over the bare root: this source and the Rust toolchain, in which everything may be written. There
# is no network but for loopback, and all processes end with the first.
SCRIPT = r"""
set -e
ip link set lo up
mount -t tmpfs tmpfs "$SCRATCH/layers"
layer() {
    mkdir -p "$SCRATCH/layers/$3-upper" "$SCRATCH/layers/$3-work" "$BARE$2"
    mount -t overlay overlay -o "lowerdir=$1,upperdir=$SCRATCH/layers/$3-upper,workdir=$SCRATCH/layers/$3-work" "$BARE$2"
}
layer "$SOURCE" "$SOURCE" source || exit 77
layer "$CARGO_HOME" "$CARGO_HOME" cargo
mkdir -p "$BARE$RUSTUP_HOME"
mount --bind "$RUSTUP_HOME" "$BARE$RUSTUP_HOME"
mount --rbind /dev "$BARE/dev"
mount -t proc proc "$BARE/proc"
exec "$PYTHON" "$SOURCE/tests/outer/readme.py"
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="a root file system of its own needs root")
@pytest.mark.skipif(shutil.which("dpkg-query") is None, reason="this is not a Debian")
def test_every_command_of_the_readme_does_what_it_says(tmp_path):
    root = tmp_path / "bare"
    for directory in (root, tmp_path / "layers"):
        directory.mkdir()
    bare.make(root, NEEDED)
    home = pathlib.Path.home()
    environment = {
        "CARGO_HOME": str(home / ".cargo"), "RUSTUP_HOME": str(home / ".rustup"), **os.environ,
        "SCRATCH": str(tmp_path), "BARE": str(root), "SOURCE": str(ROOT), "PYTHON": sys.executable,
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    done = subprocess.run(
        ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "bash", "-c", SCRIPT],
        env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=10 * DEADLINE,
    )
    shutil.rmtree(root)
    if done.returncode == 77:
        pytest.skip("no overlay file system here")
    assert done.returncode == 0, done.stdout + done.stderr
