#!/usr/bin/env python3
"""Proves that kill9.py can fail: plays it against a fake server that keeps every promise, and against ones that break one each.

`python3 bench/kill9_test.py` runs all; the file itself is the fake when called as `kill9_test.py serve|export|replay`.
"""

import argparse
import http.server
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time

# Fault, and the word that one of its violations begins with; which of several is seen first can depend on the moment of the kill, so
# this is not part of .ci/run.
FAULTS = {
    "none": None,
    "acknowledges before it writes": ("acknowledged", "versions"),
    "forgets ids at a restart": "duplicates",
    "writes twice": "acknowledged",
    "starts versions again": "versions",
    "uses a version for other content": "versions",
    "counts duplicates": "versions",
    "forgets a session at a restart": "versions",
    "counts one too few": "counts",
    "replays otherwise": "fold",
}
FAULT = os.environ.get("KILL9_FAULT", "none")


class Fake:
    """A log in a file, and contexts folded from it."""

    def __init__(self, data):
        os.makedirs(data, exist_ok=True)
        self.path = os.path.join(data, "log.ndjson")
        self.lock = threading.Lock()
        self.known, self.events, self.versions, self.waiting = set(), {}, {}, []
        self.followers = []
        # Every line of the log is its own record; one that was torn by the kill was not acknowledged.
        lines = open(self.path, "rb").read().split(b"\n") if os.path.exists(self.path) else [b""]
        self.offset = 0
        for line in lines[:-1]:
            self.fold(json.loads(line))
        self.file = open(self.path, "r+b" if os.path.exists(self.path) else "w+b")
        self.file.truncate(sum(len(line) + 1 for line in lines[:-1]))
        self.file.seek(0, os.SEEK_END)
        if FAULT == "forgets ids at a restart":
            self.known = set()
        if FAULT == "starts versions again":
            self.offset, self.versions = 0, {s: 0 for s in self.versions}
        if FAULT == "forgets a session at a restart":
            self.events.pop("s1", None)

    def fold(self, event):
        self.known.add(event["id"])
        self.events.setdefault(event["session"], []).append(event)
        self.versions[event["session"]] = self.offset
        self.offset += 1

    def take(self, batch):
        fresh = []
        for event in batch:
            if event["id"] in self.known:
                if FAULT == "counts duplicates":
                    self.events[event["session"]].append(event)
                continue
            self.fold(event)
            fresh.append(event)
        lines = b"".join(json.dumps(e).encode() + b"\n" for e in fresh)
        if FAULT == "writes twice" and self.offset % 50 == 0:
            lines += lines
        if FAULT == "acknowledges before it writes":
            self.waiting.append(lines)
            lines = self.waiting.pop(0) if len(self.waiting) > 3 else b""
        os.write(self.file.fileno(), lines)
        for session in {e["session"] for e in fresh}:
            for follower in self.followers:
                follower.put(self.context(session))
        return {"accepted": len(fresh), "duplicates": len(batch) - len(fresh), "late": 0, "rejected": []}

    def context(self, session):
        events = sorted(self.events[session], key=lambda e: (e["event_time"], e["id"]))
        count = len(events) - (FAULT == "counts one too few" and session == "s1")
        vector = [count, sum(e["value"] for e in events)]
        if FAULT == "uses a version for other content":
            vector.append(os.getpid())
        return {"session": session, "version": self.versions[session], "vector": vector, "features": {"events": vector[0]}}


def handler(fake):
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def answer(self, status, body):
            body = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def follow(self):
            contexts = queue.SimpleQueue()
            with fake.lock:
                fake.followers.append(contexts)
            self.send_response(200)
            self.send_header("Connection", "close")
            self.end_headers()
            while True:
                self.wfile.write(b"data: " + json.dumps(contexts.get()).encode() + b"\n\n")

        def do_GET(self):
            if self.path == "/v1/context/stream":
                self.follow()
            session = self.path.rsplit("/", 1)[-1]
            with fake.lock:
                known = session in fake.events
                body = fake.context(session) if known else {}
            self.answer(200 if known or self.path == "/ready" else 404, body)

        def do_POST(self):
            batch = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with fake.lock:
                answer = fake.take(batch)
            self.answer(202, answer)

        def log_message(self, *_):
            pass

    return Handler


def serve(fake, listen):
    host, port = listen.split(":")
    server = http.server.ThreadingHTTPServer((host, int(port)), handler(fake))
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # readers that went away
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    server.serve_forever()


def be_the_fake(argv):
    parser = argparse.ArgumentParser()
    parser.add_argument("command")
    for option in ("--data", "--listen", "--format"):
        parser.add_argument(option)
    parser.add_argument("--final", action="store_true")
    args = parser.parse_args(argv)
    fake = Fake(args.data)
    if args.command == "serve":
        serve(fake, args.listen)
    elif args.command == "export":
        events = (json.loads(line) for line in open(fake.path))
        for offset, event in enumerate(events):
            print(json.dumps({"offset": offset, "partition": 0, "ingest_time": 0, "event": event}))
    else:
        for session in fake.events:
            context = fake.context(session)
            if FAULT == "replays otherwise":
                context["vector"][1] += 1e-9
            print(json.dumps(context))


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    command = [sys.executable, os.path.join(here, "kill9.py"), "--saccade", os.path.abspath(__file__)]
    failed = 0
    for fault, word in FAULTS.items():
        begun = time.monotonic()
        environment = dict(os.environ, KILL9_FAULT=fault)
        run = [*command, "--rounds", "4", "--sessions", "5", "--threads", "2", "--seed", "1"]
        done = subprocess.run(run, env=environment, capture_output=True, text=True)
        wanted = 0 if word is None else 1
        words = (word,) if isinstance(word, str) else word or ()
        right = done.returncode == wanted and (word is None or any(f"BROKEN: {w}:" in done.stdout for w in words))
        failed += not right
        print(f"{'ok    ' if right else 'FAILED'} {fault} ({time.monotonic() - begun:.1f} s)", flush=True)
        if not right:
            print(done.stdout + done.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    if len(sys.argv) > 1 and sys.argv[1] in ("serve", "export", "replay"):
        be_the_fake(sys.argv[1:])
    else:
        sys.exit(main())
