"""A root file system with Debian's minimum: the essential packages, and those that are named.

Their files are copied from this machine, so that no network is needed. Nothing else of the machine
is there: no Python, no compiler that nobody has named.
"""

import os
import pathlib
import subprocess

# What every package leaves behind when it is configured.
CONFIGURED = ["etc/alternatives", "etc/ld.so.cache", "etc/passwd", "etc/group", "etc/nsswitch.conf"]

# What no program needs.
LEFT_OUT = ("/usr/share/doc/", "/usr/share/man/", "/usr/share/locale/", "/usr/share/info/")


def installed():
    """The installed packages: name, whether it is essential, what it needs, what it stands for."""
    form = "${Package}\t${Essential}\t${Pre-Depends}, ${Depends}\t${Provides}\t${db:Status-Status}\n"
    lines = subprocess.run(["dpkg-query", "--show", f"--showformat={form}"],
                           check=True, capture_output=True, text=True).stdout.splitlines()
    return [line.split("\t")[:4] for line in lines if line.endswith("\tinstalled")]


def names(field):
    """The names in a list of packages, each with its alternatives."""
    bare = lambda text: text.split("(")[0].split(":")[0].strip()
    return [[bare(one) for one in group.split("|")] for group in field.split(",") if group.strip()]


def closure(wanted):
    """The essential packages, these, and all that they need."""
    needs, stands_for, todo = {}, {}, list(wanted)
    for name, essential, depends, provides in installed():
        needs[name] = names(depends)
        for name_of_it in [name, *(one for group in names(provides) for one in group)]:
            stands_for.setdefault(name_of_it, name)
        if essential == "yes":
            todo.append(name)
    missing = [name for name in wanted if name not in needs]
    assert not missing, f"not installed here: {missing}"
    found = set()
    while todo:
        name = todo.pop()
        if name in found:
            continue
        found.add(name)
        for alternatives in needs[name]:
            todo.extend([stands_for[one] for one in alternatives if one in stands_for][:1])
    return sorted(found)


def is_alternative(entry):
    """Whether it is a link to the one of several programs that was chosen here."""
    return entry.is_symlink() and os.readlink(entry.path).startswith("/etc/alternatives/")


def make(root, wanted):
    """Makes the root file system, with these packages."""
    listed = subprocess.run(["dpkg-query", "--listfiles", *closure(wanted)],
                            check=True, capture_output=True, text=True).stdout.splitlines()
    # Some packages call their files by the links of a merged /usr, such as /lib.
    where = lambda path: os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))
    files = {where(path) for path in listed if path.startswith("/") and not path.startswith(LEFT_OUT)}
    files = sorted(path[1:] for path in files if os.path.lexists(path) and path != "/")
    root = pathlib.Path(root)
    for name in ("bin", "sbin", "lib", "lib32", "lib64"):
        if os.path.islink(f"/{name}"):
            (root / name).symlink_to(os.readlink(f"/{name}"))
    configured = [path for path in CONFIGURED if os.path.lexists(f"/{path}")]
    # Such as cc.
    configured += [entry.path[1:] for entry in os.scandir("/usr/bin") if is_alternative(entry)]
    for recursion, paths in (("--no-recursion", files), ("--recursion", configured)):
        pack = subprocess.Popen(["tar", "-C", "/", "-cf", "-", recursion, "--null", "-T", "-"],
                                stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        unpack = subprocess.Popen(["tar", "-C", root, "-xpf", "-"],
                                  stdin=pack.stdout)
        pack.stdin.write("\0".join(paths).encode())
        pack.stdin.close()
        assert (unpack.wait(), pack.wait()) == (0, 0)
    for name in ("dev", "proc", "tmp", "run", "var", "root"):
        (root / name).mkdir(exist_ok=True)
    (root / "tmp").chmod(0o1777)
    if not os.path.lexists(root / "var/run"):
        (root / "var/run").symlink_to("/run")
