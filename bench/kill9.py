#!/usr/bin/env python3
"""Kills a server under load with SIGKILL, many times, and checks that it kept every promise.

Promises checked, each round and over all rounds:

  acknowledged   every acknowledged event is in the log, once; one that was not acknowledged is there at most once
  duplicates     a batch that is sent again after its acknowledgment is answered as duplicates and changes nothing
  versions       the version of a session's context never goes back, and is never used again for other content
  counts         the feature `events` of a session is the number of its distinct events in the log, not the late ones
  fold           the contexts published last are those that `saccade replay` computes from the log

Standard library only. Exit codes: 0 all kept, 1 a promise was broken or the server did not come back, 2 usage.
"""

import argparse
import http.client
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

TYPES = ("impression", "progress", "scroll", "click", "play", "pause", "seek", "stop")
READY_SECONDS_MAX = 60
REQUEST_SECONDS_MAX = 10
# Acknowledged batches that a sender may send again, in this life of the server or the next.
RETRY_BATCHES_MAX = 50


class Broken(Exception):
    """A promise was broken."""


class Ledger:
    """What was sent, acknowledged and published. Shared by all threads of this program."""

    def __init__(self):
        self.lock = threading.Lock()
        self.session_of = {}
        self.acknowledged = set()
        self.late = 0
        self.duplicates = 0
        self.vectors = {}  # session -> {version: vector}
        self.newest = {}  # session -> version
        self.counted = {}  # session -> (version, value of the feature `events`)
        self.broken = []
        self.publications = 0

    def violation(self, text):
        with self.lock:
            if len(self.broken) < 20:
                print("  BROKEN: " + text, flush=True)
            self.broken.append(text)

    def published(self, context, asked_version):
        """Notes a context that was read; `asked_version` was the newest known when the reading began."""
        session, version, vector = context["session"], context["version"], context["vector"]
        with self.lock:
            self.publications += 1
            known = self.vectors.setdefault(session, {}).setdefault(version, vector)
            self.newest[session] = max(version, self.newest.get(session, -1))
            if "events" in context.get("features", {}):
                self.counted[session] = (version, context["features"]["events"])
        if version < asked_version:
            self.violation(f"versions: {session} went back from {asked_version} to {version}")
        if known != vector:
            self.violation(f"versions: {session} version {version} was used for two vectors:\n    {known}\n    {vector}")

    def newest_version(self, session):
        with self.lock:
            return self.newest.get(session, -1)


class Client:
    """A keep-alive connection that is opened again when it broke."""

    def __init__(self, port):
        self.port = port
        self.connection = None

    def call(self, method, path, body=None):
        """Status and body, or None when the connection broke."""
        try:
            if self.connection is None:
                self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=REQUEST_SECONDS_MAX)
                self.connection.connect()
                self.connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            headers = {"Content-Type": "application/json"} if body is not None else {}
            self.connection.request(method, path, body=body, headers=headers)
            response = self.connection.getresponse()
            return response.status, response.read()
        except (OSError, http.client.HTTPException):
            self.close()
            return None

    def close(self):
        if self.connection is not None:
            self.connection.close()
        self.connection = None


class Sender(threading.Thread):
    """Sends small batches, some of them again, until told to stop or the server dies."""

    def __init__(self, name, round_seed, args, ledger, carried):
        super().__init__(name=name, daemon=True)
        self.random = random.Random(round_seed)
        self.args, self.ledger = args, ledger
        self.client = Client(args.port)
        self.stopping = threading.Event()
        self.count = 0
        # From before the restart: batches without an answer, to be sent again or given up; and some with one.
        self.unanswered, self.answered = carried
        self.made = 0

    def run(self):
        for batch in [b for b in self.unanswered if self.random.random() < 0.5]:
            if not self.send(batch, fresh=False):
                return
        self.unanswered = []
        while not self.stopping.is_set():
            if self.answered and self.random.random() < 0.1:
                if not self.send(self.random.choice(self.answered), fresh=False):
                    return
                continue
            batch = self.make()
            self.unanswered = [batch]
            if not self.send(batch, fresh=True):
                return
            self.unanswered = []
        self.client.close()

    def make(self):
        now = int(time.time() * 1000)
        events = []
        for _ in range(self.random.randint(1, 8)):
            self.made += 1
            session = self.random.randrange(self.args.sessions)
            events.append(
                {
                    "id": f"{self.name}-{self.made}",
                    "type": self.random.choice(TYPES),
                    # Out of order within a second: the fold must not care.
                    "event_time": now - self.random.randrange(1000),
                    "session": f"s{session}",
                    "viewer": f"v{session // 2}",
                    "item": f"i{self.random.randrange(100)}",
                    "value": self.random.randrange(1000) / 100,
                    "playhead_s": self.random.randrange(3_600_000) / 1000,
                }
            )
        with self.ledger.lock:
            self.ledger.session_of.update((e["id"], e["session"]) for e in events)
        return events

    def send(self, batch, fresh):
        """False when the connection broke, which is the server's death."""
        answer = self.client.call("POST", "/v1/events", json.dumps(batch))
        if answer is None:
            return False
        status, body = answer
        if status in (429, 503):
            time.sleep(0.01)  # told to come back; not an acknowledgment
            return True
        if status != 202:
            self.ledger.violation(f"answers: status {status} to a good batch: {body[:300]!r}")
            return True
        self.acknowledge(batch, json.loads(body), fresh)
        return True

    def acknowledge(self, batch, answer, fresh):
        ids = {e["id"] for e in batch}
        with self.ledger.lock:
            known = ids <= self.ledger.acknowledged
            self.ledger.acknowledged |= ids
            self.ledger.late += answer["late"]
            self.ledger.duplicates += answer["duplicates"]
        named = answer["accepted"] + answer["late"] + answer["duplicates"]
        if named != len(batch) or answer["rejected"]:
            self.ledger.violation(f"answers: {len(batch)} events, answer {answer}")
        if known and answer["duplicates"] != len(batch):
            self.ledger.violation(f"duplicates: a batch acknowledged before was answered {answer}")
        if fresh and answer["duplicates"]:
            self.ledger.violation(f"duplicates: a batch sent for the first time was answered {answer}")
        if not known:
            self.answered = (self.answered + [batch])[-RETRY_BATCHES_MAX:]
        self.count += len(batch)


class Reader(threading.Thread):
    """Reads contexts all the time and notes versions."""

    def __init__(self, seed, args, ledger):
        super().__init__(daemon=True)
        self.random = random.Random(seed)
        self.args, self.ledger = args, ledger
        self.stopping = threading.Event()

    def run(self):
        client = Client(self.args.port)
        while not self.stopping.is_set():
            if not read_context(client, f"s{self.random.randrange(self.args.sessions)}", self.ledger):
                return
        client.close()


class Follower(threading.Thread):
    """Follows the stream of all contexts: sees also those that nobody asked for before the server died."""

    def __init__(self, args, ledger):
        super().__init__(daemon=True)
        self.args, self.ledger = args, ledger
        self.socket = None

    def run(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.args.port, timeout=REQUEST_SECONDS_MAX)
        try:
            connection.connect()
            self.socket = connection.sock
            connection.request("GET", "/v1/context/stream")
            response = connection.getresponse()
            if response.status != 200:
                self.ledger.violation(f"answers: status {response.status} to the stream of all contexts")
                return
            while line := response.readline():
                self.line(line)
        except (OSError, http.client.HTTPException):
            pass  # the server died, or had nothing to say for long
        finally:
            connection.close()

    def stop(self):
        """Ends the stream of a server that lives on."""
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except (AttributeError, OSError):
            pass  # it has ended, or never began

    def line(self, line):
        if not (line.startswith(b"data:") and line.endswith(b"\n")):
            return  # the protocol's own, or torn by the kill
        context = json.loads(line[5:])
        # What has no vector is a notice that this reader was too slow.
        if context.get("session") and "vector" in context:
            self.ledger.published(context, -1)


def read_context(client, session, ledger):
    """Reads and notes one context; False when the connection broke."""
    asked = ledger.newest_version(session)
    answer = client.call("GET", f"/v1/context/session/{session}")
    if answer is None:
        return False
    status, body = answer
    if status == 200:
        ledger.published(json.loads(body), asked)
    elif status != 404:
        ledger.violation(f"answers: status {status} to a reading of {session}: {body[:300]!r}")
    elif asked >= 0:
        ledger.violation(f"versions: {session} had version {asked} and is gone")
    return True


class Server:
    """The real binary."""

    def __init__(self, args, data):
        self.args, self.data = args, data
        self.log = open(os.path.join(data + ".log"), "ab")
        self.process = None

    def start(self):
        """Starts it and returns the seconds until it was ready."""
        command = [self.args.saccade, "serve", "--data", self.data, "--listen", f"127.0.0.1:{self.args.port}"]
        if self.args.config:
            command += ["--config", self.args.config]
        begun = time.monotonic()
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        while time.monotonic() - begun < READY_SECONDS_MAX:
            if self.process.poll() is not None:
                raise Broken(f"the server ended with {self.process.returncode} at its start; see {self.log.name}")
            client = Client(self.args.port)
            answer = client.call("GET", "/ready")
            client.close()
            if answer is not None and answer[0] in (200, 204):
                return time.monotonic() - begun
            time.sleep(0.005)
        raise Broken(f"the server was not ready within {READY_SECONDS_MAX} s; see {self.log.name}")

    def kill(self):
        if self.process.poll() is not None:
            raise Broken(f"the server ended by itself with {self.process.returncode}; see {self.log.name}")
        self.process.kill()
        self.process.wait()

    def stop(self):
        """Asks it to end, as an operator does."""
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(READY_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            raise Broken(f"the server did not end within {READY_SECONDS_MAX} s of SIGTERM") from None
        if code != 0:
            raise Broken(f"the server ended with {code} after SIGTERM; see {self.log.name}")

    def run(self, *command):
        """Runs another command of the binary and yields its lines of JSON."""
        command = [self.args.saccade, *command, "--data", self.data]
        if self.args.config:
            command += ["--config", self.args.config]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self.log)
        if done.returncode != 0:
            raise Broken(f"`{' '.join(command)}` ended with {done.returncode}; see {self.log.name}")
        return [json.loads(line) for line in done.stdout.splitlines() if line.strip()]


def check_after_restart(args, ledger):
    """Every session's context holds what was acknowledged, and no more than was sent."""
    client = Client(args.port)
    acknowledged, sent = {}, {}
    with ledger.lock:
        for event_id, session in ledger.session_of.items():
            sent[session] = sent.get(session, 0) + 1
            acknowledged[session] = acknowledged.get(session, 0) + (event_id in ledger.acknowledged)
        late = ledger.late
    for k in range(args.sessions):
        session = f"s{k}"
        if not read_context(client, session, ledger):
            raise Broken("the server broke a connection just after it was ready")
        version = ledger.newest_version(session)
        if version < 0:
            if acknowledged.get(session, 0) > late:
                ledger.violation(f"acknowledged: {session} has {acknowledged[session]} events and no context")
            continue
        events = count_of(ledger, session)
        if events is None:
            continue  # told as a version that went back
        if not acknowledged.get(session, 0) - late <= events <= sent.get(session, 0):
            ledger.violation(
                f"acknowledged: {session} counts {events} events; {acknowledged.get(session, 0)} were acknowledged, "
                f"{sent.get(session, 0)} sent, at most {late} late"
            )
    client.close()


def count_of(ledger, session):
    """The feature `events` of a context that was just read; None when it is older than one published before."""
    if session not in ledger.counted:
        raise Broken("contexts have no feature `events`; give a configuration that counts them")
    version, events = ledger.counted[session]
    return events if version == ledger.newest[session] else None


def check_log(server, ledger):
    """The log against the acknowledgments; returns the distinct ids of each session."""
    seen, by_session = {}, {}
    for line in server.run("export"):
        event = line.get("event")
        if not event:
            continue
        place = (line["partition"], line["offset"])
        if event["id"] in seen:
            ledger.violation(f"acknowledged: {event['id']} is in the log at {seen[event['id']]} and at {place}")
        seen[event["id"]] = place
        by_session.setdefault(event["session"], set()).add(event["id"])
    missing = ledger.acknowledged - seen.keys()
    if missing:
        ledger.violation(f"acknowledged: {len(missing)} events are not in the log, among them {sorted(missing)[:5]}")
    foreign = seen.keys() - ledger.session_of.keys()
    if foreign:
        ledger.violation(f"acknowledged: {len(foreign)} events in the log were never sent, among them {sorted(foreign)[:5]}")
    return len(seen), by_session


def check_counts(args, ledger, by_session):
    """The feature `events` against the log. Late events are in the log and not in the count."""
    missing = 0
    for session, ids in sorted(by_session.items()):
        version = ledger.newest_version(session)
        events = count_of(ledger, session) if version >= 0 else 0
        if events is None:
            continue  # told as a version that went back
        missing += len(ids) - events
        if events > len(ids) or (events != len(ids) and ledger.late == 0):
            ledger.violation(f"counts: {session} counts {events} events, the log has {len(ids)}")
    if missing != ledger.late:
        ledger.violation(f"counts: {missing} logged events are not counted, {ledger.late} were answered as late")


def check_fold(server, ledger):
    """The contexts published last against an offline replay."""
    replayed = {line["session"]: line for line in server.run("replay", "--format", "ndjson", "--final") if line.get("session")}
    for session, version in sorted(ledger.newest.items()):
        offline = replayed.get(session)
        if offline is None:
            ledger.violation(f"fold: replay has no context of {session}")
            continue
        vector = ledger.vectors[session][version]
        if (offline["version"], offline["vector"]) != (version, vector):
            ledger.violation(
                f"fold: {session} was published as {version} {vector}, replay gives {offline['version']} {offline['vector']}"
            )


def play_round(number, args, server, ledger, carried, rng):
    """One life of the server: start, load, kill. Returns the batches of each sender without and with an answer."""
    ready = server.start()
    check_after_restart(args, ledger)
    senders = [Sender(f"r{number}t{t}", rng.random(), args, ledger, carried[t]) for t in range(args.threads)]
    follower, reader = Follower(args, ledger), Reader(rng.random(), args, ledger)
    for thread in (follower, reader, *senders):
        thread.start()
    life = rng.uniform(0.05, 0.8)
    time.sleep(life)
    last = number == args.rounds
    if not last:
        server.kill()
    for thread in (reader, *senders):
        thread.stopping.set()
    for thread in (reader, *senders):
        thread.join(REQUEST_SECONDS_MAX + 5)
    if last:
        follower.stop()
    follower.join(REQUEST_SECONDS_MAX + 5)
    unanswered = sum(len(sender.unanswered) for sender in senders)
    sent = sum(sender.count for sender in senders)
    end = "stopped" if last else "killed "
    print(
        f"round {number:>4}/{args.rounds}  ready {ready * 1000:6.0f} ms  {end} after {life * 1000:4.0f} ms  "
        f"acknowledged {sent:>6}  unanswered batches {unanswered}  broken {len(ledger.broken)}",
        flush=True,
    )
    return [(sender.unanswered, sender.answered) for sender in senders]


def finish(args, server, ledger):
    """Reads the last contexts, stops the server and checks everything against the log."""
    check_after_restart(args, ledger)
    server.stop()
    logged, by_session = check_log(server, ledger)
    check_counts(args, ledger, by_session)
    check_fold(server, ledger)
    return logged


def parser_of(description):
    return argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)


def parse_arguments(parser):
    parser.add_argument("--saccade", default="target/release/saccade", metavar="BINARY")
    parser.add_argument("--config", metavar="FILE", help="configuration of the server; must declare a count named `events`")
    parser.add_argument("--rounds", type=int, default=200, metavar="N", help="lives of the server; all but the last are killed")
    parser.add_argument("--threads", type=int, default=4, metavar="N", help="connections that send")
    parser.add_argument("--sessions", type=int, default=50, metavar="N", help="few, so that state accumulates")
    parser.add_argument("--seed", type=int, default=None, metavar="N", help="moments of death and load; default: the time")
    parser.add_argument("--port", type=int, default=0, metavar="N", help="default: a free one")
    parser.add_argument("--keep", action="store_true", help="keep the data directory also when all is well")
    args = parser.parse_args()
    if min(args.rounds, args.threads, args.sessions) < 1:
        parser.error("--rounds, --threads and --sessions are at least 1")
    if not os.access(args.saccade, os.X_OK):
        parser.error(f"no binary at {args.saccade}; build it with `cargo build --release` or give --saccade")
    if args.seed is None:
        args.seed = time.time_ns() % 2**32
    if args.port == 0:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            args.port = probe.getsockname()[1]
    return args


def watch(server, ledger, play):
    """Plays all rounds; what ends them early is a violation, and no server is left behind."""
    try:
        play()
    except Broken as e:
        ledger.violation(str(e))
    finally:
        if server.process is not None and server.process.poll() is None:
            server.process.kill()
            server.process.wait()
        server.log.close()


def verdict(args, directory, ledger, kinds=""):
    """Says how it ended, tidies up where all is well, and gives the exit code."""
    if ledger.broken:
        print(f"FAILED: {len(ledger.broken)} violations{kinds}; data and the server's log are in {directory}; seed {args.seed}")
        return 1
    print("ok: every promise was kept")
    if args.keep:
        print(f"data is in {directory}")
    else:
        shutil.rmtree(directory)
    return 0


def main():
    args = parse_arguments(parser_of(__doc__))
    directory = tempfile.mkdtemp(prefix="saccade-kill9-")
    server, ledger, rng = Server(args, os.path.join(directory, "data")), Ledger(), random.Random(args.seed)
    print(f"{args.rounds} rounds, seed {args.seed}, data in {server.data}", flush=True)
    logged = 0

    def play():
        nonlocal logged
        carried = [([], [])] * args.threads
        for number in range(1, args.rounds + 1):
            carried = play_round(number, args, server, ledger, carried, rng)
        logged = finish(args, server, ledger)

    watch(server, ledger, play)
    print(
        f"\nacknowledged {len(ledger.acknowledged)}  in the log {logged}  sent {len(ledger.session_of)}  "
        f"late {ledger.late}  answered as duplicates {ledger.duplicates}  contexts read {ledger.publications}"
    )
    return verdict(args, directory, ledger)


if __name__ == "__main__":
    sys.exit(main())
