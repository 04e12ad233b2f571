#!/usr/bin/env python3
"""Bytes of state per live session: replays sessions of three events each and reads what `saccade replay` says, and its peak memory.

  bench/memory.py [--saccade BINARY] [--sessions 100000 1000000]

`state` counts rows, keys, table, schedule and pending events; `resident` is the process's peak over that of one session, per
session, so it also has what allocators and viewers' profiles take. Standard library only.
"""
import argparse, os, random, re, subprocess, tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
KINDS = ["impression", "click", "play", "pause", "scroll", "progress", "stop"]


def write(path, sessions):
    rng = random.Random(7)
    with open(path, "w") as out:
        for step in range(3):
            for i in range(sessions):
                # All within the session gap of 30 minutes, so that every session is alive at the end.
                time = 1_790_000_000_000 + step * 300_000 + i * 250_000 // sessions
                out.write('{"event_id":"e%d-%d","id":"e%d-%d","session_id":"session-%08d","session":"session-%08d","viewer":"viewer-%08d",'
                          '"ts":%d,"event_time":%d,"type":"%s","item_id":"t%d","item":"t%d","value":%.3f,"device":"tv","country":"SE"}\n'
                          % (step, i, step, i, i, i, i, time, time, rng.choice(KINDS), i % 5000, i % 5000, rng.random()))


def measure(binary, config, path):
    command = ["/usr/bin/env", "time", "-f", "peak %M", binary, "replay", "--config", config, "--format", "packed", "--out", "/dev/null", path]
    text = subprocess.run(command, check=True, stderr=subprocess.PIPE, text=True).stderr
    state = re.search(r"(\d+) sessions alive at the end, (\d+) bytes", text)
    return int(state[1]), int(state[2]), int(re.search(r"peak (\d+)", text)[1]) * 1024


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--saccade", default="target/release/saccade")
    parser.add_argument("--sessions", type=int, nargs="+", default=[100_000, 1_000_000])
    args = parser.parse_args()
    print("| plan | live sessions | state, bytes per session | resident, bytes per session |\n| --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as directory:
        for name in ("w1", "default"):
            config = os.path.join(HERE, "..", "configs", f"{name}.toml")
            path = os.path.join(directory, "events.jsonl")
            write(path, 1)
            _, _, floor = measure(args.saccade, config, path)
            for sessions in args.sessions:
                write(path, sessions)
                alive, state, peak = measure(args.saccade, config, path)
                assert alive == sessions, f"{alive} of {sessions} sessions are alive"
                print(f"| {name} | {alive:,} | {state:,} | {(peak - floor) // alive:,} |", flush=True)


if __name__ == "__main__":
    main()
