#!/usr/bin/env python3
"""Time from the start of the process to `/ready`, with many live sessions: from the log alone, from a checkpoint after a proper
stop, and after kill -9 with a log tail behind the checkpoint.

  bench/restart.py [--saccade BINARY] [--plan default|w1] [--sessions 1000000] [--tail 200000]

The default plan keeps a viewer beside each session; W1's has sessions alone.

Standard library only.
"""
import argparse, json, os, random, signal, subprocess, tempfile, time, urllib.error, urllib.request

KINDS = ["impression", "click", "play", "pause", "scroll", "progress", "stop"]
ADDRESS = "127.0.0.1:18181"
# One checkpoint at each proper stop, none between; the log's clock must not end sessions while this runs.
SETTINGS = {"CHECKPOINT__INTERVAL": "1h", "SESSION__GAP": "6h", "SESSION__MAX_LENGTH": "12h", "TIME__IDLE_TIMEOUT": "1d"}
NAMES = {
    "default": ("id", "session", "viewer", "event_time", "item"),
    "w1": ("event_id", "session_id", "viewer_id", "ts", "item_id"),
}


def write(path, names, first, count, sessions, begin_ms):
    rng = random.Random(first)
    with open(path, "w") as out:
        for i in range(first, first + count):
            session = i % sessions
            values = (f"e{i}", f"session-{session:08}", f"viewer-{session:08}", begin_ms + i * 250_000 // sessions, f"t{i % 5000}")
            event = dict(zip(names, values), type=rng.choice(KINDS), value=round(rng.random(), 3), device="tv")
            out.write(json.dumps(event, separators=(",", ":")) + "\n")


def start(binary, config, data):
    began = time.monotonic()
    process = subprocess.Popen([binary, "serve", "--config", config, "--data", data, "--listen", ADDRESS], stderr=subprocess.DEVNULL)
    while True:
        try:
            if urllib.request.urlopen(f"http://{ADDRESS}/ready", timeout=1).status == 200:
                return process, time.monotonic() - began
        except (urllib.error.URLError, OSError):
            pass
        assert process.poll() is None, "the server ended"
        time.sleep(0.02)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--saccade", default="target/release/saccade")
    parser.add_argument("--plan", choices=NAMES, default="default")
    parser.add_argument("--sessions", type=int, default=1_000_000)
    parser.add_argument("--tail", type=int, default=200_000, help="events sent after the checkpoint, before kill -9")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        data, events = (os.path.join(directory, name) for name in ("data", "events.ndjson"))
        config, names = f"configs/{args.plan}.toml", NAMES[args.plan]
        os.environ.update({f"SACCADE_{key}": value for key, value in SETTINGS.items()})
        now = int(time.time() * 1000) - 600_000
        write(events, names, 0, args.sessions, args.sessions, now)
        subprocess.run([args.saccade, "import", "--config", config, "--data", data, events], check=True)
        process, seconds = start(args.saccade, config, data)
        print(f"{args.sessions} sessions, from the log alone ({args.sessions} events): ready after {seconds:.2f} s", flush=True)
        process.send_signal(signal.SIGTERM)
        process.wait()
        process, seconds = start(args.saccade, config, data)
        print(f"{args.sessions} sessions, from the checkpoint of a proper stop: ready after {seconds:.2f} s", flush=True)
        write(events, names, args.sessions, args.tail, args.sessions, now)
        with open(events) as lines:
            rows = lines.readlines()
        for at in range(0, len(rows), 5000):
            body = "".join(rows[at:at + 5000]).encode()
            answer = urllib.request.urlopen(urllib.request.Request(f"http://{ADDRESS}/v1/events", body), timeout=60)
            assert answer.status == 202
        process.kill()
        process.wait()
        process, seconds = start(args.saccade, config, data)
        print(f"{args.sessions} sessions, checkpoint and {args.tail} events after it, kill -9: ready after {seconds:.2f} s", flush=True)
        process.kill()
        process.wait()


if __name__ == "__main__":
    main()
