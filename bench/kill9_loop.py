#!/usr/bin/env python3
"""Kills a server with SIGKILL while it decides and learns, many times, and checks that the loop kept every promise.

Promises checked, each round and over all rounds:

  decisions   every answered decision is in the log, once; asked again by its id it has the same bytes, or is over
  rewards     every accepted reward and click is in the log, once; told again it is a duplicate
  joining     a reward that is told after the restart for a decision that was answered before it is joined; a click whose session
              is in another partition than the decision that it names, and a reward that is told before its decision, are not lost
  models      after a kill at rest, estimates and counts of a model are what they were; model versions never go back
  accounting  decisions taken in = decisions in the log = outcomes + open ones; outcomes of rewards = rewards and clicks in the log
  fold        `saccade validate`: checkpoint and replay give the state that the whole log gives, bit for bit

Standard library only. Exit codes: 0 all kept, 1 a promise was broken or the server did not come back, 2 usage.
"""

import json
import os
import random
import re
import sys
import tempfile
import threading
import time
from collections import Counter

from kill9 import REQUEST_SECONDS_MAX, Broken, Client, Server, parse_arguments, parser_of, verdict, watch

# Windows of `short` end during the test, those of `long` never do. Clocks that tick fast let time pass between kills too.
REWARD = """
[models.reward]
version = 1
expression = "clicked > 0 ? 1.0 : 0.0"
default_reward = 0.0
wait = "{wait}"
aggregation = "sum"
signals = {{ clicked = {{ fold = "any", on = ["click"] }} }}
"""
MODEL = '[[models]]\nname = "{name}"\ncontext = "request"\npolicy = {{ name = "{policy}" }}\n' + REWARD
CONFIG = (
    '[checkpoint]\ninterval = "150ms"\n[time]\nout_of_orderness = "100ms"\nallowed_lateness = "400ms"\nidle_timeout = "150ms"\n'
    '[log]\npartitions = {partitions}\n[[features]]\nname = "events"\ntype = "count"\n'
    + MODEL.format(name="short", policy="thompson", wait="1s")
    + MODEL.format(name="long", policy="lin_ucb", wait="30d")
)
ITEMS = [f"i{k}" for k in range(6)]
# Decisions that are asked again after each restart.
AGAIN_MAX = 200


class Ledger:
    """What was asked and told, and what was answered. Shared by all threads of this program."""

    def __init__(self):
        self.lock = threading.Lock()
        self.asked = {}  # decision -> path and body
        self.answered = {}  # decision -> bytes
        self.long, self.short = [], []  # answered decisions
        self.told = {}  # reward or click -> path and body
        self.accepted = set()
        self.strays = set()  # rewards of decisions that never were
        self.early = set()  # rewards that were told before their decision was asked for
        self.on_their_way = set()  # of these, told again while the first waited in another partition, or was on its way from there
        self.newest = {}  # model -> version
        self.broken = []
        self.asked_again = self.joined_later = self.compared = 0

    def violation(self, text):
        with self.lock:
            if len(self.broken) < 20:
                print("  BROKEN: " + text, flush=True)
            self.broken.append(text)

    def decided(self, name, body):
        """Notes an answer; true where it is the first."""
        answer = json.loads(body)
        version = version_of(answer["model_version"])
        with self.lock:
            known = self.answered.setdefault(name, body)
            if known is body:
                (self.long if answer["model"] == "long" else self.short).append(name)
                for place, newest in enumerate(self.newest.get(answer["model"], version)):
                    version[place] = max(version[place], newest)
                self.newest[answer["model"]] = version
        if known != body:
            self.violation(f"decisions: {name} was answered twice:\n    {known}\n    {body}")
        return known is body


def version_of(text):
    return [int(offset) for offset in text.split(".")]


class Player(threading.Thread):
    """Ranks, clicks, rewards and asks again, until told to stop or the server dies."""

    def __init__(self, name, seed, args, ledger, unanswered):
        super().__init__(name=name, daemon=True)
        self.random, self.args, self.ledger = random.Random(seed), args, ledger
        self.client = Client(args.port)
        self.stopping = threading.Event()
        self.unanswered = unanswered
        self.made = self.count = 0

    def run(self):
        # What had no answer before the restart is sent again: it may be there or not.
        for kind, name in self.unanswered[:]:
            if not (self.rank(name, fresh=False) if kind == "rank" else self.tell(name, fresh=False)):
                return
            self.unanswered.remove((kind, name))
        while not self.stopping.is_set():
            self.made += 1
            if not self.step(f"{self.name}-{self.made}", self.random.random()):
                return
        self.client.close()

    def step(self, name, dice):
        with self.ledger.lock:
            some = self.random.choice(self.ledger.long[-300:] + self.ledger.short[-100:] or [None])
            told = self.random.choice(sorted(self.ledger.accepted)) if dice < 0.03 and self.ledger.accepted else None
        if told:
            return self.tell(told, fresh=False)
        if some is None or dice < 0.5:
            if dice < 0.05:
                # If the server dies between the two, the reward may have waited for too long.
                self.ledger.early.add(f"w{name}")
                self.ledger.told[f"w{name}"] = (f"/v1/decisions/d{name}/reward", json.dumps({"id": f"w{name}", "value": 1}))
                if not self.tell(f"w{name}", fresh=True):
                    return False
            context = [1, self.random.randrange(3), self.random.randrange(-100, 100) / 50]
            body = {"id": f"d{name}", "viewer": f"v{self.random.randrange(40)}", "context": context, "items": self.random.sample(ITEMS, 4), "k": self.random.choice([1, 1, 2])}
            model = self.random.choice(["short", "long", "long"])
            self.ledger.asked[f"d{name}"] = (f"/v1/rank/{model}", json.dumps(body))
            return self.rank(f"d{name}", fresh=True)
        if dice < 0.55:
            return self.rank(some, fresh=False)
        if dice < 0.7:
            items = json.loads(self.ledger.answered[some])["items"]
            viewer = {"viewer": json.loads(self.ledger.asked[some][1])["viewer"]}
            event = {"id": f"c{name}", "type": "click", "event_time": int(time.time() * 1000), **self.random.choice([viewer, {"session": f"s{self.random.randrange(40)}"}]), "item": items[0]["id"], "decision": some}
            self.ledger.told[f"c{name}"] = ("/v1/events", json.dumps(event))
            return self.tell(f"c{name}", fresh=True)
        if dice < 0.72:
            some = f"stray-{name}"
            self.ledger.strays.add(f"w{name}")
        sync = "?sync=true" if self.random.random() < 0.2 else ""
        body = {"id": f"w{name}", "value": self.random.randrange(-100, 100) / 10}
        self.ledger.told[f"w{name}"] = (f"/v1/decisions/{some}/reward{sync}", json.dumps(body))
        return self.tell(f"w{name}", fresh=True)

    def send(self, kind, name, path, body):
        """Status and body; None when the connection broke, which is the server's death."""
        self.unanswered.append((kind, name))
        while True:
            answer = self.client.call("POST", path, body)
            if answer is None or answer[0] not in (429, 503):
                break
            time.sleep(0.01)  # told to come back
        if answer is not None:
            self.unanswered.remove((kind, name))
            self.count += 1
        return answer

    def rank(self, name, fresh):
        path, body = self.ledger.asked[name]
        model = path.rsplit("/", 1)[1]
        with self.ledger.lock:
            before, newest = name in self.ledger.answered, list(self.ledger.newest.get(model, []))
        answer = self.send("rank", name, path, body)
        if answer is None:
            return False
        status, body = answer
        if status == 200:
            is_first = self.ledger.decided(name, body)
            version = version_of(json.loads(body)["model_version"])
            if is_first and fresh and any(now < then for now, then in zip(version, newest)):
                self.ledger.violation(f"models: {name} was decided by {version} after {newest} was seen")
        elif not (status == 409 and b"decision_over" in body and model == "short" and (before or not fresh)):
            self.ledger.violation(f"decisions: status {status} to {name}: {body[:300]!r}")
        return True

    def tell(self, name, fresh):
        path, body = self.ledger.told[name]
        with self.ledger.lock:
            known = name in self.ledger.accepted
        answer = self.send("tell", name, path, body)
        if answer is None:
            return False
        status, body = answer
        if status != 202:
            self.ledger.violation(f"rewards: status {status} to {name}: {body[:300]!r}")
            return True
        outcome = json.loads(body)
        is_duplicate = outcome.get("outcome") == "duplicate" or outcome.get("duplicates", 0) > 0
        with self.ledger.lock:
            self.ledger.accepted.add(name)
        if known and not is_duplicate and self.args.partitions > 1 and name in self.ledger.early:
            # Logged there too; whichever comes second ends as a duplicate.
            self.ledger.on_their_way.add(name)
        elif is_duplicate != known and (known or fresh):
            self.ledger.violation(f"rewards: {name}, {'known' if known else 'new'}, was answered {outcome}")
        return True


def read(client, path):
    answer = client.call("GET", path)
    if answer is None or answer[0] != 200:
        raise Broken(f"GET {path} was answered {answer}")
    return answer[1]


def at_rest(client):
    """What the model of open windows knows, once it does not change any more."""
    last = None
    while True:
        report = json.loads(read(client, "/v1/models/long"))
        report.pop("version")
        if report == last:
            return report
        last = report
        time.sleep(0.2)


def check_after_restart(number, args, ledger, rng, rested):
    """Everything that was answered before is as it was."""
    client = Client(args.port)
    if rested is not None:
        ledger.compared += 1
        report = at_rest(client)
        if report != rested:
            ledger.violation(f"models: at rest before the kill\n    {rested}\n    after it\n    {report}")
    for model, newest in ledger.newest.items():
        version = json.loads(read(client, f"/v1/models/{model}"))["version"]
        if any(now < then for now, then in zip(version, newest)):
            ledger.violation(f"models: {model} went back from {newest} to {version}")
    for name in ledger.long[-AGAIN_MAX // 2 :] + rng.sample(ledger.long, min(len(ledger.long), AGAIN_MAX // 2)):
        status, body = client.call("POST", *ledger.asked[name]) or (0, b"")
        ledger.asked_again += 1
        if (status, body) != (200, ledger.answered[name]):
            ledger.violation(f"decisions: {name} was\n    {ledger.answered[name]}\n    and is after the restart {status}\n    {body}")
    for k, name in enumerate(ledger.long[-3:]):
        reward = f"later-{number}-{k}"
        ledger.told[reward] = (f"/v1/decisions/{name}/reward?sync=true", json.dumps({"id": reward, "value": 1}))
        status, body = client.call("POST", *ledger.told[reward]) or (0, b"")
        ledger.joined_later += 1
        if status != 202 or json.loads(body)["outcome"] != "joined":
            ledger.violation(f"joining: a reward for {name}, answered before the restart: {status} {body!r}")
        ledger.accepted.add(reward)
    client.close()


def play_round(number, args, server, ledger, carried, rng, rested):
    """One life of the server: start, check, load, kill. Gives what had no answer, and what the model knew where the kill was at rest."""
    ready = server.start()
    check_after_restart(number, args, ledger, rng, rested)
    players = [Player(f"r{number}t{t}", rng.random(), args, ledger, carried[t]) for t in range(args.threads)]
    for player in players:
        player.start()
    life, is_last = rng.uniform(0.05, 0.8), number == args.rounds
    time.sleep(life)
    is_at_rest, rested = number % 4 == 0 and not is_last, None
    if not (is_last or is_at_rest):
        server.kill()
    for player in players:
        player.stopping.set()
    for player in players:
        player.join(REQUEST_SECONDS_MAX + 5)
    if is_at_rest:
        client = Client(args.port)
        rested = at_rest(client)
        server.kill()
    end = "stopped" if is_last else "at rest" if is_at_rest else "killed "
    print(
        f"round {number:>4}/{args.rounds}  ready {ready * 1000:6.0f} ms  {end} after {life * 1000:4.0f} ms  "
        f"answered {sum(player.count for player in players):>6}  open requests {sum(len(player.unanswered) for player in players)}  broken {len(ledger.broken)}",
        flush=True,
    )
    return [player.unanswered for player in players], rested


def metrics(client):
    """Value by name and labels."""
    found = {}
    for line in read(client, "/metrics").decode().splitlines():
        if match := re.match(r"(saccade_(?:decisions|join)\w*)\{(.*)\} (\S+)$", line):
            labels = dict(re.findall(r'(\w+)="([^"]*)"', match[2]))
            found[(match[1], labels["model"], labels.get("kind", ""), labels.get("outcome", labels.get("served", "")))] = float(match[3])
    return found


def quiet_metrics(args):
    """Once the short windows are over, what waited in vain is set aside, and nothing changes any more."""
    client, last, since = Client(args.port), None, time.monotonic()
    while time.monotonic() - since < 3:
        now = metrics(client)
        if now != last:
            last, since = now, time.monotonic()
        time.sleep(0.2)
    client.close()
    return last


def once(ledger, what, logged, accepted, sent):
    """Each accepted one is logged once, and nothing that was not sent."""
    for name in sorted({name for name in logged if logged.count(name) > 1} if len(logged) != len(set(logged)) else ()):
        ledger.violation(f"{what}: {name} is in the log {logged.count(name)} times")
    if missing := accepted - set(logged):
        ledger.violation(f"{what}: {len(missing)} are not in the log, among them {sorted(missing)[:5]}")
    if foreign := set(logged) - sent:
        ledger.violation(f"{what}: {len(foreign)} in the log were never sent, among them {sorted(foreign)[:5]}")


def check_accounts(ledger, counted, decisions, rewards):
    """Metrics against the log."""
    total = lambda name, model, kind=None: sum(v for k, v in counted.items() if k[0] == name and k[1] == model and kind in (None, k[2]))
    for model in ("short", "long"):
        logged = sum(d["model"] == model for d in decisions)
        taken = total("saccade_decisions_total", model)
        ended = total("saccade_join_outcomes_total", model, "decision")
        still = total("saccade_decisions_open", model)
        if not logged == taken == ended + still or (model == "short" and still):
            ledger.violation(f"accounting: {model}: {logged} decisions in the log, {taken} taken in, {ended} ended, {still} open")
    ends = {k[3]: v for k, v in counted.items() if k[0] == "saccade_join_outcomes_total" and k[2] == "reward"}
    if sum(ends.values()) != rewards:
        ledger.violation(f"accounting: {rewards} rewards and clicks in the log, their outcomes are {ends}")
    strays, early = len(ledger.strays & ledger.accepted), len(ledger.early & ledger.accepted)
    if not strays <= ends.get("dangling", 0) <= strays + early:
        ledger.violation(f"accounting: {strays} rewards of unknown decisions, {early} told early, outcomes are {ends}")
    return ends


def finish(args, server, ledger):
    """Reads the accounts, stops the server and checks everything against the log."""
    for name in sorted(ledger.strays - ledger.accepted):
        client = Client(args.port)  # sent, and perhaps there: now it is
        client.call("POST", *ledger.told[name])
        ledger.accepted.add(name)
    counted = quiet_metrics(args)
    server.stop()
    lines = server.run("export")
    decisions = [line["decision"] for line in lines if "decision" in line]
    rewards = [line["reward"]["id"] for line in lines if "reward" in line]
    clicks = [line["event"]["id"] for line in lines if "event" in line]
    once(ledger, "decisions", [d["id"] for d in decisions], set(ledger.answered), set(ledger.asked))
    told = rewards + clicks
    for name in ledger.on_their_way & set(told):
        told.remove(name)
    once(ledger, "rewards", told, ledger.accepted, set(ledger.told))
    ends = check_accounts(ledger, counted, decisions, len(rewards) + len(clicks))
    server.run("validate", "--format", "json")
    print(f"\ndecisions {len(decisions)}  rewards {len(rewards)}  clicks {len(clicks)}  outcomes of rewards {ends}")


def main():
    parser = parser_of(__doc__)
    parser.add_argument("--partitions", type=int, default=1, metavar="N", help="of the server, where no --config is given")
    args = parse_arguments(parser)
    directory = tempfile.mkdtemp(prefix="saccade-kill9-loop-")
    if not args.config:
        args.config = os.path.join(directory, "saccade.toml")
        with open(args.config, "w") as file:
            file.write(CONFIG.replace("{partitions}", str(args.partitions)))
    server, ledger, rng = Server(args, os.path.join(directory, "data")), Ledger(), random.Random(args.seed)
    print(f"{args.rounds} rounds, seed {args.seed}, data in {server.data}", flush=True)

    def play():
        carried, rested = [[] for _ in range(args.threads)], None
        for number in range(1, args.rounds + 1):
            carried, rested = play_round(number, args, server, ledger, carried, rng, rested)
        finish(args, server, ledger)

    watch(server, ledger, play)
    print(
        f"answered decisions {len(ledger.answered)}  accepted rewards and clicks {len(ledger.accepted)}  asked again after a restart {ledger.asked_again}  "
        f"rewarded after a restart {ledger.joined_later}  told before their decision {len(ledger.early)}  models compared over a kill {ledger.compared}"
    )
    kinds = Counter(text.split(":", 1)[0] for text in ledger.broken)
    return verdict(args, directory, ledger, f", {dict(kinds)}")


if __name__ == "__main__":
    sys.exit(main())
