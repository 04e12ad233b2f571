#!/usr/bin/env python3
"""How long `POST /v1/rank` takes, open loop, and how soon a reward is in a decision.

  bench/rank_latency.py [--rates 200,500,1000] [--seconds 10]

Ranks 100 candidates: for sessions with published contexts (model `home` of configs/default.toml, 13 slots and a constant) and with an
explicit context of 32 numbers (model of configs/bandit.toml), each with fsync and buffered. Arrivals are Poisson; latency is from the
intended start to the whole answer. A fifth of the decisions is rewarded. `lag` is by how much this program itself began too
late; a decision waits for one or two fsyncs.

Standard library only. Exit codes: 0 done, 1 the server refused something, 2 usage.
"""
import argparse, json, os, random, re, sys, tempfile, threading, time

from learning import Connection, Server, percentile

CANDIDATES, CONNECTIONS, SESSIONS = 100, 32, 1000


def config(directory, durability):
    models = open("configs/bandit.toml").read()
    text = open("configs/default.toml").read().replace('durability = "fsync"', f'durability = "{durability}"')
    path = f"{directory}/{durability}.toml"
    with open(path, "w") as file:
        file.write(text + "\n" + models[models.index("[[models]]") :])
    return path


def must(answer, statuses=(200, 202)):
    if answer[0] not in statuses:
        sys.exit(f"the server answered {answer}")
    return json.loads(answer[1])


def question(rng, kind, items, name=None):
    """Path and body of a rank request."""
    body = {"id": name} if name else {}
    if kind == "home":
        session = rng.randrange(SESSIONS)
        body |= {"session": f"s{session}", "viewer": f"v{session}"}
    else:
        body["context"] = [1.0] + [round(rng.gauss(0, 0.2), 4) for _ in range(31)]
    return f"/v1/rank/{kind}", json.dumps(body | {"items": items})


def warm(port):
    """Sessions with contexts, and decisions with rewards for each candidate."""
    rng, connection = random.Random(1), Connection(port)
    now = int(time.time() * 1000)
    kinds = ("impression", "click", "scroll", "play", "progress")
    events = [{"id": f"e{n}", "type": rng.choice(kinds), "event_time": now, "session": f"s{n % SESSIONS}", "viewer": f"v{n % SESSIONS}", "item": f"i{n % CANDIDATES}", "device": rng.choice(("tv", "mobile"))} for n in range(5 * SESSIONS)]
    must(connection.call("POST", "/v1/events", json.dumps(events)))
    for n in range(10 * CANDIDATES):
        for kind in ("home", "bandit"):
            path, body = question(rng, kind, [f"i{n % CANDIDATES}"])
            decision = must(connection.call("POST", path, body))["decision"]
            must(connection.call("POST", f"/v1/decisions/{decision}/reward", f'{{"value":{rng.random() < 0.1:d}}}'))


class Caller(threading.Thread):
    """Sends its share of the arrivals over one connection."""

    def __init__(self, port, kind, begin, times, seed):
        super().__init__(daemon=True)
        self.connection, self.begin = Connection(port), begin
        rng = random.Random(seed)
        items = [f"i{k}" for k in range(CANDIDATES)]
        self.plan = [(at, question(rng, kind, items), rng.random() < 0.2) for at in times]
        self.latencies, self.lags = [], []

    def run(self):
        for at, question, is_rewarded in self.plan:
            intended = self.begin + at
            if (ahead := intended - time.perf_counter()) > 0:
                time.sleep(ahead)
                self.lags.append(time.perf_counter() - intended)
            answer = self.connection.call("POST", *question)
            self.latencies.append(time.perf_counter() - intended)
            decision = must(answer)["decision"]
            if is_rewarded:
                must(self.connection.call("POST", f"/v1/decisions/{decision}/reward", '{"value":1}'))


def fsyncs(port):
    """Seconds and number of the fsyncs so far."""
    page = Connection(port).call("GET", "/metrics")[1].decode()
    find = lambda name: float((re.search(rf"^saccade_log_fsync_seconds_{name}(?:{{.*}})? (\S+)$", page, re.M) or [0, 0])[1])
    return find("sum"), find("count")


def load(server, kind, rate, seconds):
    """One line of the table."""
    rng, at, times = random.Random(rate), 0.0, [[] for _ in range(CONNECTIONS)]
    for n in range(int(rate * seconds)):
        at += rng.expovariate(rate)
        times[n % CONNECTIONS].append(at)
    begin = time.perf_counter() + 0.5 + rate * seconds * 0.0002
    callers = [Caller(server.port, kind, begin, of, seed) for seed, of in enumerate(times)]
    cpu, (synced, count) = server.cpu_seconds(), fsyncs(server.port)
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    cpu, (seconds, number) = server.cpu_seconds() - cpu, fsyncs(server.port)
    fsync = (seconds - synced) * 1000 / max(1, number - count)
    latencies = [x for caller in callers for x in caller.latencies]
    lags = [x for caller in callers for x in caller.lags]
    return (
        f"p50 {percentile(latencies, 0.5):6.2f}   p99 {percentile(latencies, 0.99):6.2f}   p99.9 {percentile(latencies, 0.999):6.2f} ms   "
        f"lag p50 {percentile(lags, 0.5):.2f} p99 {percentile(lags, 0.99):.2f} ms   fsync mean {fsync:.2f} ms   server CPU {cpu * 1000 / len(latencies):.3f} s per 1,000 ranks"
    )


def reward_to_decision(port, probes):
    """From sending a reward, without sync, to the first answer of a decision that knows it, asked for again and again."""
    asking, telling, rng, took = Connection(port), Connection(port), random.Random(3), []
    for n in range(probes):
        ask = lambda: must(asking.call("POST", *question(rng, "bandit", [f"probe{n}"])))
        before = ask()
        body = f'{{"value":{1000 if n % 2 else -1000}}}'
        head = f"POST /v1/decisions/{before['decision']}/reward HTTP/1.1\r\nHost: s\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        begin = time.perf_counter()
        telling.socket.sendall((head + body).encode())
        # Nothing is known of the item but this reward, which moves what is expected of it far.
        while abs(ask()["items"][0]["score"] - before["items"][0]["score"]) < 10:
            pass
        took.append(time.perf_counter() - begin)
        telling.receive()
    return f"reward → decision that knows it   p50 {percentile(took, 0.5):.2f}   p99 {percentile(took, 0.99):.2f}   worst {max(took) * 1000:.2f} ms   ({probes} rewards)"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--saccade", default="target/release/saccade", metavar="BINARY")
    parser.add_argument("--rates", default="200,500,1000", metavar="LIST", help="ranks per second")
    parser.add_argument("--seconds", type=float, default=10, metavar="S", help="of each rate")
    parser.add_argument("--probes", type=int, default=500, metavar="N", help="rewards waited for")
    parser.add_argument("--durability", default="fsync,buffered", metavar="LIST")
    args = parser.parse_args()
    if not os.access(args.saccade, os.X_OK):
        parser.error(f"no binary at {args.saccade}; build it with `cargo build --release` or give --saccade")
    with tempfile.TemporaryDirectory(prefix="saccade-rank-") as directory:
        for durability in args.durability.split(","):
            args.config = config(directory, durability)
            with Server(args) as server:
                warm(server.port)
                print(durability)
                for kind in ("home", "bandit"):
                    for rate in map(int, args.rates.split(",")):
                        print(f"  {kind:<7} {rate:>5}/s   {load(server, kind, rate, args.seconds)}", flush=True)
                print(f"  {reward_to_decision(server.port, args.probes)}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
