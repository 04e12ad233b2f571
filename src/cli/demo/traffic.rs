//! What is played at the server: recorded players with their own pauses, and simulated viewers at a steady rate.

use super::cast::Cast;
use super::choosing::{self, choose};
use super::client::Client;
use super::ledger::{Ledger, read_answer};
use super::players::{self, Recording, What};
use super::scores::Scores;
use super::viewers::{self, Sent, Viewers};
use crate::clock::now;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};

/// Recorded players at once, where the rate leaves room for them: each sends about two records a second.
const PLAYERS_MAX: u64 = 6;
const PLAYER_RATE: u64 = 2;
/// Players come one after another, and begin again some time after they left.
const PLAYER_STAGGER: Duration = Duration::from_millis(1700);
const PLAYER_AWAY: Duration = Duration::from_secs(3);
/// How often viewers' events are collected into batches.
const TICK: Duration = Duration::from_millis(20);
const BATCH_EVENTS_MAX: usize = 20;
/// Requests at once; when all are waiting for their answers, viewers wait too.
pub(super) const REQUESTS_MAX: usize = 16;
/// A schedule that is further behind is given up: the machine cannot keep that rate.
const BEHIND_MAX_MS: u64 = 500;
/// Time to answer what is on its way when the traffic ends.
const FINISH_TIME: Duration = Duration::from_secs(30);

/// Running traffic.
pub(super) struct Traffic {
    pub ledger: Arc<Ledger>,
    pub cast: Arc<Cast>,
    pub scores: Arc<Scores>,
    stop: watch::Sender<bool>,
    /// Of the loop, which ends before the others: its windows close while they go on.
    stop_asking: watch::Sender<bool>,
    asking: JoinSet<()>,
    tasks: JoinSet<()>,
}

/// What every source of traffic has.
#[derive(Clone)]
pub(super) struct Stage {
    pub client: Client,
    pub ledger: Arc<Ledger>,
    cast: Arc<Cast>,
    pub stop: watch::Receiver<bool>,
    /// Tells the ids of this run from those of others.
    pub run: String,
}

impl Traffic {
    /// Begins to send `rate` events a second, players and viewers together, and to ask for decisions. Call it within a runtime.
    pub(super) fn start(client: Client, rate: u64, seed: u64, loops: Option<choosing::Plan>) -> Traffic {
        let (stop, stopping) = watch::channel(false);
        let run = format!("{:x}", now().0 / 100 % 0xff_ffff);
        let (ledger, cast) = (Arc::new(Ledger::default()), Arc::new(Cast::default()));
        let stage = Stage { client, ledger: ledger.clone(), cast: cast.clone(), stop: stopping, run };
        let players = (rate / (2 * PLAYER_RATE)).clamp(1, PLAYERS_MAX);
        let mut tasks = JoinSet::new();
        let recordings = players::recordings().into_iter().map(Arc::new).collect::<Vec<_>>();
        for (number, recording) in (0..players as usize).zip(recordings.iter().cycle()) {
            tasks.spawn(play(stage.clone(), number, recording.clone()));
        }
        let viewers_rate = rate.saturating_sub(players * PLAYER_RATE);
        if viewers_rate > 0 {
            tasks.spawn(browse(stage.clone(), Viewers::new(seed, viewers_rate, &stage.run), players as usize));
        }
        let (scores, mut asking) = (Arc::new(Scores::default()), JoinSet::new());
        let (stop_asking, stopping) = watch::channel(false);
        if let Some(plan) = loops {
            asking.spawn(choose(Stage { stop: stopping, ..stage }, plan, scores.clone()));
        }
        Traffic { ledger, cast, scores, stop, stop_asking, asking, tasks }
    }

    /// Asks nothing more and waits for what viewers still do.
    pub(super) async fn finish_asking(&mut self) {
        self.stop_asking.send_replace(true);
        let all = async { while self.asking.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(FINISH_TIME, all).await;
    }

    /// Sends nothing more and waits for the answers that are due.
    pub(super) async fn finish(&mut self) {
        self.stop.send_replace(true);
        let all = async { while self.tasks.join_next().await.is_some() {} };
        // What has no answer by then is not accounted for, and the summary says so.
        let _ = tokio::time::timeout(FINISH_TIME, all).await;
    }
}

/// True when the time has come, false when the traffic ends before.
async fn wait(stage: &mut Stage, until: Instant) -> bool {
    tokio::select! {
        biased;
        () = told(&mut stage.stop) => false,
        () = tokio::time::sleep_until(until) => true,
    }
}

/// Returns when the traffic ends.
pub(super) async fn told(stop: &mut watch::Receiver<bool>) {
    // An error is a sender that is gone, and the traffic with it.
    let _ = stop.wait_for(|stop| *stop).await;
}

/// A recorded player, over and over, each time in a session of its own.
async fn play(mut stage: Stage, number: usize, recording: Arc<Recording>) {
    let mut begin = Instant::now() + PLAYER_STAGGER * number as u32;
    let path = format!("/v1/cmcd?viewer=person-{}-{}", stage.run, number + 1);
    for round in 1.. {
        if !wait(&mut stage, begin).await {
            return;
        }
        let session = format!("player-{}-{}-{round}", stage.run, number + 1);
        let shift_ms = now().0 - recording.began_ms;
        stage.cast.enters(number, recording.player, &session);
        for step in &recording.steps {
            if !wait(&mut stage, begin + Duration::from_millis(step.at_ms)).await {
                return;
            }
            match &step.what {
                What::Did(what) => stage.cast.did(number, what),
                What::Sent(records) => {
                    if let Some(state) = players::reported(records) {
                        stage.cast.reported(number, state);
                    }
                    stage.ledger.player_sends(records.lines().count() as u64);
                    let records = players::redate(records, shift_ms, &session);
                    // The answer says nothing; the ledger is closed with the server's counters.
                    let _ = stage.client.post(&path, "application/cmcd", records).await;
                }
            }
        }
        begin += Duration::from_millis(recording.length_ms()) + PLAYER_AWAY;
    }
}

/// All simulated viewers; the first of them are on the cast, after `players` players.
async fn browse(mut stage: Stage, mut viewers: Viewers, players: usize) {
    let permits = Arc::new(Semaphore::new(REQUESTS_MAX));
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let (mut begin, mut start_ms) = (Instant::now(), now().0);
    let mut requests = JoinSet::new();
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = told(&mut stage.stop) => break,
        }
        let passed_ms = begin.elapsed().as_millis() as u64;
        let behind_ms = passed_ms.saturating_sub(viewers.next_ms());
        if behind_ms > BEHIND_MAX_MS {
            begin += Duration::from_millis(behind_ms);
            start_ms += behind_ms as i64;
            continue;
        }
        while viewers.next_ms() <= passed_ms && !*stage.stop.borrow() {
            let batch = next_batch(&mut viewers, start_ms, passed_ms);
            batch.iter().for_each(|event| stage.cast.viewer(players, event));
            let permit = permits.clone().acquire_owned().await.expect("the semaphore is never closed");
            let stage = stage.clone();
            requests.spawn(async move {
                send(&stage, &batch).await;
                drop(permit);
            });
        }
        while requests.try_join_next().is_some() {}
    }
    while requests.join_next().await.is_some() {}
}

fn next_batch(viewers: &mut Viewers, start_ms: i64, passed_ms: u64) -> Vec<Sent> {
    let mut batch = vec![];
    while viewers.next_ms() <= passed_ms && batch.len() < BATCH_EVENTS_MAX {
        batch.push(viewers.next(start_ms));
    }
    batch
}

async fn send(stage: &Stage, batch: &[Sent]) {
    let events = batch.len() as u64;
    let body = serde_json::to_string(batch).expect("events are text and numbers");
    stage.ledger.viewers_send(events);
    if let Some((status, body)) = stage.client.post("/v1/events", "application/json", body).await {
        stage.ledger.answered(read_answer(status, &body, events));
    }
}

impl Cast {
    fn viewer(&self, players: usize, event: &Sent) {
        if event.number < super::cast::VIEWERS_MAX {
            let number = players + event.number;
            self.enters(number, "simulated viewer", &event.session);
            self.reported(number, viewers::in_words(event.kind));
        }
    }
}
