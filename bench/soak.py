#!/usr/bin/env python3
"""A long run with faults: steady load, kill -9 and a restart every minute, readers that hardly read, garbage in between.

Senders repeat a batch, with the same ids, until it is acknowledged, as clients do. Checked while it runs and at the end:

  lost, double   every event that was sent is in the log, once
  answers        garbage is refused with 4xx and nothing else; a good batch is answered 202, or 429 or 503 with Retry-After
  versions       the version of a session's context never goes back, over all lives of the server
  fold           the contexts at the end are those that `saccade replay` computes from the log
  memory         the greatest resident size of a life of the server does not grow from life to life

  bench/soak.py [--minutes 30] [--kill-every 60] [--rate 2000]

Standard library only. Exit codes: 0 all kept, 1 a promise was broken, 2 usage.
"""
import json, os, random, re, socket, statistics, subprocess, sys, tempfile, threading, time

from kill9 import Broken, Client, Ledger, Server, check_fold, parse_arguments, parser_of, read_context, verdict, watch

BATCH = 20
SESSIONS = 5000
TYPES = ("impression", "progress", "scroll", "click", "play", "pause", "seek", "stop")
# A life's greatest resident size over the median of the first lives that ran as long; beyond it, memory grows.
GROWTH_MAX = 1.25
ID = re.compile(rb'"id":"t(\d+)-(\d+)"')


class Sender(threading.Thread):
    """Sends at its share of the rate; what is not acknowledged is sent again."""

    def __init__(self, number, args, ledger):
        super().__init__(daemon=True)
        self.number, self.args, self.ledger = number, args, ledger
        self.stopping = threading.Event()
        self.sent = self.repeated = self.refused = self.late = 0

    def run(self):
        client, rng = Client(self.args.port), random.Random(f"{self.args.seed}-{self.number}")
        due, pause = time.monotonic(), BATCH * self.args.threads / self.args.rate
        while not self.stopping.is_set():
            time.sleep(max(0.0, due - time.monotonic()))
            due = max(due + pause, time.monotonic() - 1)
            body = self.body(rng)
            while not self.try_once(client, body):
                self.repeated += 1
                time.sleep(0.02)
            self.sent += BATCH
        client.close()

    def body(self, rng):
        now, events = int(time.time() * 1000), []
        for n in range(self.sent, self.sent + BATCH):
            # Each session has one sender, so that it is known who saw its last version.
            session = rng.randrange(SESSIONS // self.args.threads) * self.args.threads + self.number
            events.append({"id": f"t{self.number}-{n}", "type": rng.choice(TYPES), "event_time": now - rng.randrange(1000),
                           "session": f"s{session}", "viewer": f"v{session}", "item": f"i{rng.randrange(500)}",
                           "value": rng.randrange(1000) / 100, "playhead_s": rng.randrange(3_600_000) / 1000})
        return json.dumps(events)

    def try_once(self, client, body):
        answer = client.call("POST", "/v1/events", body)
        if answer is None:
            return False
        status, said = answer
        if status in (429, 503):
            self.refused += 1
            return False
        if status != 202:
            self.ledger.violation(f"answers: status {status} to a good batch: {said[:300]!r}")
            return True
        said = json.loads(said)
        self.late += said["late"]
        if said["rejected"] or said["accepted"] + said["duplicates"] + said["late"] != BATCH:
            self.ledger.violation(f"answers: {BATCH} good events were answered {said}")
        return True


class Garbage(threading.Thread):
    """What does not belong there: noise, broken JSON, bodies that are too long, connections that break off."""

    def __init__(self, args, ledger):
        super().__init__(daemon=True)
        self.args, self.ledger, self.stopping, self.count = args, ledger, threading.Event(), 0

    def run(self):
        client, rng = Client(self.args.port), random.Random(self.args.seed)
        bodies = [lambda: rng.randbytes(2000), lambda: b'[{"id":' * 500, lambda: b"[" * 100_000, lambda: b"x" * 5_000_000,
                  lambda: b'{"type":"play","session":"s1","event_time":"never"}', lambda: b'\xff\xfe{"id":1}']
        while not self.stopping.is_set():
            time.sleep(0.1)
            if rng.random() < 0.2:
                self.break_off(rng)
                continue
            body = rng.choice(bodies)()
            answer = client.call("POST", "/v1/events", body)
            if answer is None:
                continue
            self.count += 1
            status, said = answer
            good = 400 <= status < 500 or (status == 202 and json.loads(said)["accepted"] == 0) or status == 503
            if not good:
                self.ledger.violation(f"answers: status {status} to garbage {body[:40]!r}: {said[:200]!r}")

    def break_off(self, rng):
        try:
            with socket.create_connection(("127.0.0.1", self.args.port), timeout=5) as to:
                to.sendall(b"POST /v1/events HTTP/1.1\r\nhost: a\r\ncontent-length: 100000\r\n\r\n" + rng.randbytes(500))
            self.count += 1
        except OSError:
            pass  # the server is being restarted


class SlowReader(threading.Thread):
    """Follows all contexts and reads a few bytes a second."""

    def __init__(self, args):
        super().__init__(daemon=True)
        self.args, self.stopping = args, threading.Event()

    def run(self):
        while not self.stopping.is_set():
            try:
                with socket.create_connection(("127.0.0.1", self.args.port), timeout=5) as to:
                    to.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                    to.sendall(b"GET /v1/context/stream HTTP/1.1\r\nhost: a\r\n\r\n")
                    while not self.stopping.is_set() and to.recv(64):
                        time.sleep(0.2)
            except OSError:
                time.sleep(0.2)


class Versions(threading.Thread):
    """Reads contexts all the time; their versions never go back."""

    def __init__(self, args, ledger):
        super().__init__(daemon=True)
        self.args, self.ledger, self.stopping, self.newest, self.reads = args, ledger, threading.Event(), {}, 0

    def run(self):
        client, rng = Client(self.args.port), random.Random(self.args.seed + 1)
        while not self.stopping.is_set():
            session = f"s{rng.randrange(SESSIONS)}"
            answer = client.call("GET", f"/v1/context/session/{session}")
            if answer is not None and answer[0] == 200:
                self.reads += 1
                before, version = self.newest.get(session, -1), json.loads(answer[1])["version"]
                self.newest[session] = version
                if version < before:
                    self.ledger.violation(f"versions: {session} went back from {before} to {version}")
            time.sleep(0.005)


def resident_mb(process):
    try:
        with open(f"/proc/{process.pid}/statm") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
    except (OSError, IndexError):
        return 0.0


def live(server, seconds):
    """One life of the server; gives its greatest resident size."""
    greatest, end = 0.0, time.monotonic() + seconds
    while time.monotonic() < end:
        if server.process.poll() is not None:
            raise Broken(f"the server ended by itself with {server.process.returncode}; see {server.log.name}")
        greatest = max(greatest, resident_mb(server.process))
        time.sleep(0.25)
    return greatest


def check_log(server, senders, ledger):
    """Every event that was sent is in the log, once."""
    seen = [bytearray(sender.sent) for sender in senders]
    command = [server.args.saccade, "export", "--data", server.data]
    command += ["--config", server.args.config] if server.args.config else []
    export = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=server.log)
    double = foreign = 0
    for line in export.stdout:
        found = ID.search(line)
        if not found:
            continue
        sender, n = int(found[1]), int(found[2])
        if sender >= len(seen) or n >= len(seen[sender]):
            foreign += 1
        elif seen[sender][n]:
            double += 1
        else:
            seen[sender][n] = 1
    lost = sum(events.count(0) for events in seen)
    if export.wait() != 0:
        ledger.violation(f"`{' '.join(command)}` ended with {export.returncode}")
    if lost or double or foreign:
        ledger.violation(f"log: {lost} events lost, {double} double, {foreign} that nobody sent")
    return sum(map(len, seen)), lost, double


def check_memory(sizes, ledger):
    """The first life fills what the others find; the last may be cut short."""
    whole = sizes[1:-1]
    if len(whole) < 4:
        return
    half = len(whole) // 2
    before, after = statistics.median(whole[:half]), statistics.median(whole[half:])
    print(f"memory: {before:.0f} MiB in the first half of the lives, {after:.0f} MiB in the second")
    if after > GROWTH_MAX * before:
        ledger.violation(f"memory: {before:.0f} MiB became {after:.0f} MiB")


def main():
    parser = parser_of(__doc__)
    parser.add_argument("--minutes", type=float, default=30.0, metavar="N")
    parser.add_argument("--kill-every", type=float, default=60.0, metavar="SECONDS")
    parser.add_argument("--rate", type=int, default=2000, metavar="N", help="events per second, all senders together")
    args = parse_arguments(parser)
    directory = tempfile.mkdtemp(prefix="saccade-soak-")
    server, ledger = Server(args, os.path.join(directory, "data")), Ledger()
    senders = [Sender(n, args, ledger) for n in range(args.threads)]
    versions, garbage = Versions(args, ledger), Garbage(args, ledger)
    others = [versions, garbage, SlowReader(args), SlowReader(args)]
    lives = max(1, round(args.minutes * 60 / args.kill_every))
    print(f"{lives} lives of {args.kill_every:g} s at {args.rate} events/s, seed {args.seed}, data in {server.data}", flush=True)
    sizes = []

    def play():
        for number in range(lives):
            ready = server.start()
            if number == 0:
                for thread in senders + others:
                    thread.start()
            sizes.append(live(server, args.kill_every))
            sent, repeated = sum(s.sent for s in senders), sum(s.repeated for s in senders)
            print(f"life {number + 1:>3}/{lives}  ready {ready * 1000:5.0f} ms  {sizes[-1]:6.0f} MiB  acknowledged {sent:>9}  "
                  f"batches sent again {repeated:>5}  garbage {garbage.count:>5}  reads {versions.reads:>6}  broken {len(ledger.broken)}", flush=True)
            if number + 1 < lives:
                server.kill()
        for thread in senders + others:
            thread.stopping.set()
        for thread in senders + [versions]:
            thread.join(60)
        client = Client(args.port)
        for n in range(SESSIONS):
            read_context(client, f"s{n}", ledger)
        client.close()
        server.stop()
        events, lost, double = check_log(server, senders, ledger)
        check_fold(server, ledger)
        check_memory(sizes, ledger)
        print(f"{events} events acknowledged: {lost} lost, {double} double, {sum(s.late for s in senders)} late; {len(ledger.newest)} contexts as replayed")

    watch(server, ledger, play)
    return verdict(args, directory, ledger)


if __name__ == "__main__":
    sys.exit(main())
