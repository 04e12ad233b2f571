#!/usr/bin/env python3
"""Instructions that each step of the hot path takes, counted by callgrind, against the committed figures.

  bench/instructions.py            fails where a step takes 5 % more than bench/instructions.json says
  bench/instructions.py --update   writes that file

Counts hardly depend on the machine or on what else runs, so that a slow-down is seen without a quiet machine. They do depend on the
compiler: under another one than the file names, differences are shown but none fails. Needs valgrind; standard library only.
"""
import argparse, json, os, re, shutil, subprocess, sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
FIGURES = os.path.join(ROOT, "bench", "instructions.json")
TOLERANCE = 0.05
# Operations that are counted.
COUNTS = {"parse": 10_000, "fold": 20_000, "learn": 1_000, "rank": 1_000, "publish": 20_000}


def build():
    command = ["cargo", "build", "--locked", "--profile", "count", "--bench", "instructions", "--message-format", "json"]
    lines = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    artifacts = (json.loads(line) for line in lines)
    found = [a["executable"] for a in artifacts if a.get("target", {}).get("name") == "instructions" and a.get("executable")]
    return found[-1]


def instructions(binary, step, count):
    """Only what runs inside of `counted`: to make the inputs takes ten times as much, and the allocator's share of it varies from run to run."""
    tool = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", "--toggle-collect=*instructions*counted*"]
    said = subprocess.run([*tool, binary, step, str(count)], check=True, capture_output=True, text=True).stderr
    counted = int(re.search(r"Collected : (\d+)", said).group(1))
    if counted == 0:
        sys.exit(f"{step}: callgrind saw nothing of `counted` (benches/instructions.rs); its symbol is needed")
    return counted


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--update", action="store_true", help="write the figures down")
    args = parser.parse_args()
    if shutil.which("valgrind") is None:
        print("!!! instructions were NOT counted: valgrind is not installed", file=sys.stderr)
        return 0
    binary = build()
    compiler = subprocess.run(["rustc", "--version"], check=True, capture_output=True, text=True).stdout.strip()
    units = dict(line.split("\t") for line in subprocess.run([binary], check=True, capture_output=True, text=True).stdout.splitlines())
    known = json.load(open(FIGURES)) if os.path.exists(FIGURES) else {"compiler": compiler, "steps": {}}
    found, slower = {}, []
    for step, unit in units.items():
        count = COUNTS[step]
        found[step] = round(instructions(binary, step, count) / count)
        before = known["steps"].get(step)
        ratio = found[step] / before if before else 1.0
        print(f"{step:<8} {found[step]:>9} instructions per {unit}" + (f", {ratio - 1:+.1%} of {before}" if before else ""), flush=True)
        if ratio > 1 + TOLERANCE:
            slower.append(step)
    if args.update:
        with open(FIGURES, "w") as out:
            json.dump({"compiler": compiler, "steps": found}, out, indent=2)
            out.write("\n")
    elif slower and known["compiler"] != compiler:
        print(f"!!! not judged: the figures are those of {known['compiler']}, this is {compiler}", file=sys.stderr)
    elif slower:
        print(f"slower than committed by more than {TOLERANCE:.0%}: {', '.join(slower)}; with a reason, write it down with --update", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
