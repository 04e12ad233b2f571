#!/usr/bin/env python3
"""What the server takes and how late it is under load, over HTTP, durable, with the default plan; prints the tables of bench/README.md.

  ingest      at rising rates: CPU per event, and the rate at which the clock to the context is no longer kept
  partitions  the same with `log.partitions = 2`
  discard     the same server that reads, checks and throws away
  latency     events at half of what it can take; intended sending → context received; beside it what the machine gives a server that throws away
  rank        the same with viewers of `steady_evening`, whose decisions have 100 candidates each, of the 200 and of the 5,000 most popular items
  sessions    the same rate over 10,000 and 1,000,000 sessions
  overload    twice what it can take for a while: who is refused, how late the others are, and how soon all is well again
  pairs       another build (--against) and this one in turn, three rounds: what holds where the machine's speed drifts; not among the usual ones

  bench/speed.py [--only ingest,latency] [--seconds 15] [--warm 5] [--capacity 100000] [--pin] [--into bench/README.md]

Latencies and CPU count from second --warm on: before, a fresh server touches its memory for the first time. What the machine takes
away from a loop that does nothing is shown first. Server and load generator share all processors; with --pin the generator has the last one only, which the server may use too.
--into writes each table between the lines `<!-- NAME -->` and `<!-- /NAME -->` of that file, `NAME, pinned` with --pin. Needs release builds; standard library only.
"""
import argparse, json, os, re, statistics, subprocess, sys, tempfile, urllib.request

from learning import Server


class Loaded(Server):
    """A fresh server, and runs of the load generator against it."""

    def load(self, args, rate, seconds, *more, seed=1, warm=None, connections=256):
        out = f"{self.directory}/run-{seed}.json"
        command = [args.loadgen, "run", "--target", f"http://127.0.0.1:{self.port}", "--rate", str(rate), "--duration", f"{seconds}s",
                   "--connections", str(connections), "--seed", str(seed), "--measure-from", f"{args.warm if warm is None else warm}s", "--out", out, "--quiet", *more]
        last = f"{os.cpu_count() - 1}"
        command = ["taskset", "-c", last, *command] if args.pin else command
        ran = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        if not os.path.exists(out):
            sys.exit(ran.stderr)
        with open(out) as run:
            return json.load(run)

    def checkpoint_pause(self):
        """The bound of the histogram under which every stop of a partition for a checkpoint was, in milliseconds."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics") as answer:
            text = answer.read().decode()
        buckets = re.findall(r'^saccade_checkpoint_pause_seconds_bucket\{.*?le="([^"]+)"\} (\d+)', text, re.M)
        most = max((int(count) for _, count in buckets), default=0)
        return min((float(bound) * 1e3 for bound, count in buckets if int(count) == most), default=0.0)


table = []


def row(*cells):
    table.append("| " + " | ".join(str(cell) for cell in cells) + " |")
    print(table[-1], flush=True)


def head(*cells):
    row(*cells)
    row(*["---"] * len(cells))


def ms(latency, *quantiles):
    return " / ".join(f"{latency[q + '_ms']:.3g}" for q in quantiles) if latency and latency["count"] else "–"


def validity(run):
    verdict = run["verdict"]
    return verdict if isinstance(verdict, str) else next(iter(verdict))


def cpu_s_per_million(run):
    first = run["asked"]["measure_from_s"]
    accepted = sum(second["accepted"] for second in run["seconds"] if second["second"] >= first)
    seconds = run["server"]["cpu_seconds"]
    return "–" if seconds is None else f"{seconds / max(accepted, 1) * 1e6:.1f}"


def achieved(run, seconds):
    """Events answered per second of the schedule, and whatever came after."""
    answered = [second["answered"] for second in run["seconds"]]
    return round(sum(answered[1:seconds]) / max(len(answered[1:seconds]), 1))


def ingest(args, *more):
    head("rate, events/s", "answered, events/s", "server CPU s per million", "publish p50 / p99 / p99.9, ms", "202 p50 / p99, ms", "429", "verdict")
    for rate in args.rates:
        with Loaded(args, *more) as server:
            run = server.load(args, rate, args.seconds, "--batch", "20", "--probes", "0" if more else "100")
            row(f"{rate:,}", f"{achieved(run, args.seconds):,}", cpu_s_per_million(run), ms(run["publish"], "p50", "p99", "p999"),
                ms(run["intended"], "p50", "p99"), sum(s["status_429"] for s in run["seconds"]), "–" if more else validity(run))


def partitions(args):
    os.environ["SACCADE_LOG__PARTITIONS"] = "2"
    ingest(args)
    del os.environ["SACCADE_LOG__PARTITIONS"]


def latency(args):
    head("half of what it can take, events/s", "publish p50 / p99 / p99.9, ms", "p99 of the median second, ms", "answer p50 / p99 / p99.9, ms", "own lag p99 / p99.9, ms", "server CPU s per million")
    for name, more, probes in (("{:,}", (), "100"), ("{:,}, thrown away", ("--discard",), "0")):
        for seed in range(1, 4):
            with Loaded(args, *more) as server:
                run = server.load(args, args.capacity // 2, args.seconds, "--batch", "20", "--probes", probes, seed=seed)
            p99 = [second["publish"]["p99_ms"] for second in run["seconds"][args.warm :] if second["publish"]]
            row(name.format(args.capacity // 2), ms(run["publish"], "p50", "p99", "p999"), f"{statistics.median(p99):.3g}" if p99 else "–",
                ms(run["intended"], "p50", "p99", "p999"), ms(run["lag"], "p99", "p999"), cpu_s_per_million(run))


def sessions(args):
    """The same schedule: 40 s of 50,000 events/s, in which nearly every session of a million is met, then a minute of 20,000."""
    head("sessions", "publish p50 / p99 / p99.9, ms", "202 p50 / p99, ms", "server CPU s per million", "resident, MiB", "longest checkpoint pause, ms", "verdict")
    for count in (10_000, 1_000_000):
        with Loaded(args) as server:
            run = server.load(args, 20_000, 100, "--batch", "20", "--sessions", str(count), "--shape", "spike:at=1ms,for=40s,times=2.5",
                              "--probes", "1000", warm=40)
            row(f"{count:,}", ms(run["publish"], "p50", "p99", "p999"), ms(run["intended"], "p50", "p99"), cpu_s_per_million(run),
                round(run["server"]["rss_bytes"] / 2**20), f"≤ {server.checkpoint_pause():g}", validity(run))


def rank(args):
    head("acts/s", "items", "ranks", "rank p50 / p99, ms", "reward until the next decision knows p50 / p99, ms", "publish p50 / p99 / p99.9, ms", "server CPU s per million events", "verdict")
    for items in (200, 5000):
        profile = open("configs/load/steady_evening.toml").read()
        for key, value in (("batch", "[20, 20]"), ("pool", items), ("candidates", "100"), ("sync", "true")):
            profile = re.sub(rf"^{key} = .*$", f"{key} = {value}", profile, count=1, flags=re.M)
        with tempfile.NamedTemporaryFile("w", suffix=".toml") as file, Loaded(args) as server:
            file.write(profile)
            file.flush()
            run = server.load(args, args.capacity // 2, args.seconds, "--profile", file.name)
        calls = {kind: call["intended"] for kind, call in run["calls"].items()}
        row(f"{args.capacity // 2:,}", f"{items:,}", f"{calls['rank']['count']:,}", ms(calls["rank"], "p50", "p99"), ms(calls.get("reward"), "p50", "p99"),
            ms(run["publish"], "p50", "p99", "p999"), cpu_s_per_million(run), validity(run))


def pairs(args):
    """The figures of both builds, round by round in the same order."""
    head("rate, events/s", "build", "server CPU s per million", "publish p50, ms", "publish p99, ms", "202 p99, ms", "429")
    for rate in args.rates:
        builds = {"before": args.against, "now": args.saccade}
        found = {name: [] for name in builds}
        for seed in (1, 2, 3):
            for name, args.saccade in builds.items():
                with Loaded(args) as server:
                    run = server.load(args, rate, args.seconds, "--batch", "20", "--probes", "100", seed=seed)
                refused = sum(second["status_429"] for second in run["seconds"])
                found[name].append((cpu_s_per_million(run), ms(run["publish"], "p50"), ms(run["publish"], "p99"), ms(run["intended"], "p99"), refused))
        args.saccade = builds["now"]
        for name, runs in found.items():
            row(f"{rate:,}", name, *(", ".join(str(run[figure]) for run in runs) for figure in range(5)))


def overload(args):
    """One run: a quarter of what it can take, ten seconds of twice as much as it can, and the quarter again. With so few connections that all of them wait
    for answers the client would hold back what is too much, and be late itself."""
    head("", "asked, events/s", "answered, events/s", "429", "publish p99 of a second, median and worst, ms")
    base, at, lasts = args.capacity // 4, 10, 10
    with Loaded(args) as server:
        run = server.load(args, base, at + lasts + 15, "--batch", "20", "--timeout", "3s", "--shape", f"spike:at={at}s,for={lasts}s,times=8", connections=2000)
    seconds = run["seconds"]
    for name, rate, begin, end in (("before", base, 1, at), ("twice what it takes", 8 * base, at, at + lasts), ("after", base, at + lasts, at + lasts + 15)):
        part = seconds[begin:end]
        p99 = sorted(second["publish"]["p99_ms"] for second in part if second["publish"])
        row(name, f"{rate:,}", f"{sum(second['answered'] for second in part) // len(part):,}", f"{sum(second['status_429'] for second in part):,}",
            f"{p99[len(p99) // 2]:.3g} / {p99[-1]:.3g}")
    late = [second["second"] for second in seconds[at + lasts :] if second["status_429"] or (second["publish"] and second["publish"]["p99_ms"] > 10)]
    row("seconds after it with a refusal or a p99 over 10 ms", "", "", "", ", ".join(str(second - at - lasts + 1) for second in late) or "none")
    row("the client's own lag of the whole run, p99, ms", "", "", "", f"{run['lag']['p99_ms']:.3g}")
    row("resident at the end, MiB", "", "", "", round(run["server"]["rss_bytes"] / 2**20))


def write(path, name):
    """Puts the table where `path` has its place."""
    with open(path) as file:
        text = file.read()
    place = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.S)
    if not place.search(text):
        sys.exit(f"{path} has no lines <!-- {name} --> and <!-- /{name} -->")
    with open(path, "w") as file:
        file.write(place.sub(lambda found: found[1] + "\n" + "\n".join(table) + "\n\n" + found[2], text))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--saccade", default="target/release/saccade")
    parser.add_argument("--loadgen", default="target/release/saccade-loadgen")
    parser.add_argument("--against", metavar="FILE", help="another build of saccade, for `pairs`")
    parser.add_argument("--config", default="configs/default.toml")
    parser.add_argument("--seconds", type=int, default=15)
    parser.add_argument("--warm", type=int, default=5, help="seconds at the beginning of a run that do not count")
    parser.add_argument("--capacity", type=int, default=100_000, help="events/s that it can take, as `ingest` found it")
    parser.add_argument("--rates", type=lambda text: [int(rate) for rate in text.split(",")], default=[20_000, 50_000, 75_000, 100_000, 125_000, 150_000])
    parser.add_argument("--only", default="ingest,partitions,discard,latency,rank,sessions,overload")
    parser.add_argument("--pin", action="store_true", help="the generator on the last processor alone")
    parser.add_argument("--into", metavar="FILE", help="write the tables to their places in this file")
    args = parser.parse_args()
    subprocess.run([args.loadgen, "jitter"], check=True)
    parts = {"ingest": ingest, "partitions": partitions, "discard": lambda args: ingest(args, "--discard"), "latency": latency, "rank": rank, "sessions": sessions, "overload": overload, "pairs": pairs}
    for name in args.only.split(","):
        print(f"\n{name}\n", flush=True)
        table.clear()
        parts[name](args)
        if args.into:
            write(args.into, f"{name}, pinned" if args.pin else name)


if __name__ == "__main__":
    main()
