#!/usr/bin/env python3
"""Instructions per message through door and core, compared with the figures committed.

    guard.py PROGRAM [--accept] [ROW...]

guard.c says what a row is; callgrind counts. Exit status 1 if a row has grown by more than 5 %
or has no figure. --accept writes what was counted into figures.txt, to be committed with the
change that made it so.

Counts do not depend on what else the machine does. They do depend on the compiler, which stands
with the figures, and on the memcpy that the C library picks: it is told to leave those of newer
CPUs alone, so that every x86-64 counts the same. The program is given no environment and a short
name: with the length of these, addresses change, and with addresses the paths through maps of them.
"""
import os
import platform
import re
import subprocess
import sys

FIGURES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "figures.txt")
LIMIT = 5  # percent
HEAD = """\
# Instructions per message, as `make bench-guard` counts them; `make bench-guard ACCEPT=1` writes
# this file. What a row counts stands in guard.c.
"""


def compiler():
    cc = os.environ.get("CC", "cc").split()
    version = subprocess.run(cc + ["--version"], capture_output=True, text=True, check=True)
    libc = " ".join(platform.libc_ver())
    first = re.sub(r"^\S+ \(", "gcc (", version.stdout.splitlines()[0])  # by whatever name it goes
    return f"{first}, {libc}, {platform.machine()}"


def count(program, row):
    """Instructions per message of one row."""
    where, name = os.path.split(os.path.abspath(program))
    env = {"PATH": os.environ["PATH"],
           "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX2,-AVX512F,-AVX512VL,-ERMS,-FSRM"}
    run = subprocess.run(["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null",
                          "--toggle-collect=counted_*", f"./{name}", row],
                         cwd=where, env=env, capture_output=True, text=True, check=False)
    collected = re.search(r"Collected : (\d+)", run.stderr)
    if run.returncode != 0 or not collected:
        sys.exit(f"{run.stderr}bench-guard: the row {row} did not run to its end")
    return int(collected.group(1)) / int(run.stdout)


def committed():
    """The compiler and the rows of figures.txt."""
    by, figures = "", {}
    if os.path.exists(FIGURES):
        with open(FIGURES, encoding="ascii") as f:
            for line in f:
                if line.startswith("# compiler: "):
                    by = line[len("# compiler: "):].strip()
                elif not line.startswith("#"):
                    row, figure = line.split()
                    figures[row] = float(figure)
    return by, figures


def write(by, figures, order):
    with open(FIGURES, "w", encoding="ascii") as f:
        f.write(f"{HEAD}# compiler: {by}\n")
        for row in order:
            if row in figures:
                f.write(f"{row} {figures[row]:.1f}\n")


def show(row, now, was, what):
    """Print one row; what is to be said of it: "grew", "cheaper", "new" or ""."""
    change, note = "", "new"
    if was:
        percent = (now / was - 1) * 100
        change = f"{percent:+.1f} %"
        note = "grew" if percent > LIMIT else "cheaper" if percent < -LIMIT else ""
    before = f"{was:.1f}" if was else "-"
    print(f"{row:17} {now:12.1f} {before:>10} {change:>9}  {what}{'  <-- ' if note else ''}{note}",
          flush=True)
    return note


def main():
    accept = "--accept" in sys.argv
    program, *wanted = [a for a in sys.argv[1:] if a != "--accept"]
    listed = subprocess.run([program, "--list"], capture_output=True, text=True, check=True)
    rows = dict(line.split(" ", 1) for line in listed.stdout.splitlines())
    by, figures = committed()
    now, notes = {}, {"grew": [], "cheaper": [], "new": []}

    print(f"{'row':17} {'instructions':>12} {'committed':>10} {'change':>9}")
    for row in wanted or rows:
        now[row] = round(count(program, row), 1)
        notes.setdefault(show(row, now[row], figures.get(row), rows[row]), []).append(row)
    if accept:
        write(compiler(), {**figures, **now}, rows)
        print("accepted: commit tests/bench/guard/figures.txt with what made them so")
        return 0
    if by and by != compiler():
        print(f"note: the figures are of another compiler\n  they: {by}\n  here: {compiler()}\n"
              "  so a difference may be its doing: compare with a build of the commit before")
    if notes["cheaper"]:
        print(f"cheaper by more than {LIMIT} %: {' '.join(notes['cheaper'])}; so that it stays so: "
              "make bench-guard ACCEPT=1")
    if notes["new"]:
        print(f"FAILED: no figure yet for {' '.join(notes['new'])}: make bench-guard ACCEPT=1")
    if notes["grew"]:
        print(f"FAILED: grew by more than {LIMIT} %: {' '.join(notes['grew'])}\n"
              "If it is worth that: make bench-guard ACCEPT=1, and commit "
              "tests/bench/guard/figures.txt with the change")
    return 1 if notes["grew"] or notes["new"] else 0


sys.exit(main())
