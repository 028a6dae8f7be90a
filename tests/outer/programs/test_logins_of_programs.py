"""Logins of each type from Node and Java: their WebSocket asks the chat who it is."""

import json
import os
import pathlib
import shutil
import subprocess

import pytest

import logins
from conftest import DEADLINE
from logins import ALL_KINDS, PASSWORD, USER
from test_preloaded import program

# What these tests need of Debian (tests/setup has the list of all).
DEBIAN_PACKAGES = ["node-mqtt", "nodejs", "openjdk-17-jdk-headless"]

CLIENTS = pathlib.Path(__file__).parent / "clients"


@pytest.fixture(params=ALL_KINDS)
def guarded(request, site):
    """A site with a login of every type, and its name."""
    with logins.login(request.param, site):
        yield site, request.param


def said(command, **environment):
    """What a client prints."""
    run = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE, check=False,
                         env=os.environ | environment)
    assert run.stdout, run.stderr
    return run.stdout.strip()


def test_node_logs_in(guarded):
    site, _ = guarded
    ann = site.ann
    command = [program("node"), CLIENTS / "login.js", site.url("members", ann.scheme("ws"))]
    authority = [ann.authority.root] if ann.authority else []
    path = {"NODE_PATH": "/usr/share/nodejs"}
    assert said([*command, json.dumps(ann.headers), *authority, *ann.pair], **path) == f"WSWelcome {USER}"
    assert said([*command, "{}", *authority], **path) == ("403" if authority else "401")


def test_java_logs_in(guarded, java):
    site, kind = guarded
    ann = site.ann
    command = [*java, site.url("members", ann.scheme("ws"))]
    authority = [ann.authority.root] if ann.authority else []
    if kind == "certificate":
        right = ["certificate", *authority, ann.authority.keep(ann.pair)]
    elif kind == "Bearer":
        right = ["header", ann.headers["Authorization"]]
    else:
        password = site.directory / "password"
        password.write_text(PASSWORD)
        right = ["password", USER, password]
    assert said([*command, *right]) == f"WSWelcome {USER}"
    assert said([*command, "nobody", *authority]) == ("403" if authority else "401")


@pytest.fixture(scope="module")
def java(tmp_path_factory):
    """The command that runs the client in Java, compiled once."""
    compiler = program("javac")
    directory = tmp_path_factory.mktemp("java")
    subprocess.run([compiler, "-d", directory, CLIENTS / "Login.java"], check=True, timeout=DEADLINE)
    return [shutil.which("java"), "-XX:TieredStopAtLevel=1", "-cp", directory, "Login"]
