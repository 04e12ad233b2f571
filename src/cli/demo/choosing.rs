//! The loop, played: viewers' rows are asked for at a steady rate, and what the viewers do with them is sent.

use super::guests::{Event, Guests, Question, catalogue};
use super::ledger::read_answer;
use super::scores::Scores;
use super::tastes::{DEVICES, TITLES};
use super::traffic::{REQUESTS_MAX, Stage, told};
use crate::clock::now;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};

/// The model that is asked.
pub(super) const MODEL: &str = "home";
const TICK: Duration = Duration::from_millis(10);
/// A schedule that is further behind is given up: the machine cannot keep that rate.
const BEHIND_MAX: Duration = Duration::from_millis(500);
/// How often one play is told as an explicit reward, whose call returns when a model version holds it.
const PROBE: Duration = Duration::from_millis(500);

/// What is asked, how often, and when tastes change.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub rate: u64,
    pub seed: u64,
    pub drift: Duration,
}

/// The answer to a question: the title that is put first, and its probability.
type Answer = (Question, Option<(usize, f64)>);

/// Asks until the traffic ends, then sends what is still to be sent.
pub(super) async fn choose(mut stage: Stage, plan: Plan, scores: Arc<Scores>) {
    send_rows(&stage, TITLES.len() as u64, catalogue(&stage.run, now().0)).await;
    let mut guests = Guests::new(plan.seed, plan.rate, &stage.run, now().0);
    let permits = Arc::new(Semaphore::new(REQUESTS_MAX));
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let started = Instant::now();
    let (mut begin, mut asked, mut probed) = (started, 0, started);
    let (mut answers, mut sending) = (JoinSet::<Answer>::new(), JoinSet::new());
    let mut goes_on = true;
    while goes_on || !answers.is_empty() || !guests.is_done() {
        tokio::select! {
            _ = ticks.tick() => {}
            Some(answer) = answers.join_next() => {
                let Ok((question, first)) = answer else { continue };
                let probe = probed.elapsed() >= PROBE;
                if sees(&stage, &mut guests, &scores, (question, first), probe, &mut sending) {
                    probed = Instant::now();
                }
                continue;
            }
            () = told(&mut stage.stop), if goes_on => goes_on = false,
        }
        let drifted = started.elapsed() >= plan.drift;
        let due = |asked: u64| Duration::from_millis(asked * 1000 / plan.rate);
        if begin.elapsed().saturating_sub(due(asked)) > BEHIND_MAX {
            begin += begin.elapsed() - due(asked);
        }
        while goes_on && due(asked) <= begin.elapsed() {
            let Ok(permit) = permits.clone().try_acquire_owned() else { break };
            let Some(question) = guests.ask(now().0, drifted) else { break };
            asked += 1;
            scores.asked();
            let (stage, scores) = (stage.clone(), scores.clone());
            answers.spawn(async move {
                let answer = ask(&stage, &scores, question).await;
                drop(permit);
                answer
            });
        }
        send(&stage, guests.due(now().0), &mut sending);
        while sending.try_join_next().is_some() {}
    }
    while sending.join_next().await.is_some() {}
}

async fn ask(stage: &Stage, scores: &Scores, question: Question) -> Answer {
    let begin = Instant::now();
    let path = format!("/v1/rank/{MODEL}");
    let answer = stage.client.post(&path, "application/json", question.body.clone()).await;
    let first = answer.filter(|(status, _)| *status == 200).and_then(|(_, body)| first(&body));
    if first.is_some() {
        scores.answered(begin.elapsed());
    }
    (question, first)
}

fn first(body: &[u8]) -> Option<(usize, f64)> {
    let json: serde_json::Value = serde_json::from_slice(body).ok()?;
    let item = &json["items"][0];
    let title = TITLES.iter().position(|title| item["id"] == title.id)?;
    Some((title, item["propensity"].as_f64()?))
}

/// The viewer sees the row. True where what became of it is told as an explicit reward.
fn sees(
    stage: &Stage,
    guests: &mut Guests,
    scores: &Arc<Scores>,
    (question, first): Answer,
    probe: bool,
    sending: &mut JoinSet<()>,
) -> bool {
    let now = now().0;
    let Some((title, propensity)) = first else {
        guests.gives_up(&question, now);
        scores.refused();
        return false;
    };
    let outcome = guests.sees(&question, title, now, probe);
    let who = &question.onlooker;
    let (hour, minute) = (who.hour as u32, (who.hour.fract() * 60.0) as u32);
    let title = &TITLES[title];
    let words = format!(
        "guest {} on {} at {hour:02}:{minute:02} gets {} ({}), p {propensity:.3}: {}",
        question.guest,
        DEVICES[who.device],
        title.name,
        title.genre(),
        outcome.in_words()
    );
    scores.ended(outcome, who.bounds(), who.drifted, words);
    let tells = probe && outcome == super::tastes::Outcome::Played;
    if tells {
        let (stage, scores, reward) = (stage.clone(), scores.clone(), outcome.reward());
        sending.spawn(async move { tell(&stage, &scores, &question, reward).await });
    }
    tells
}

/// Tells the worth of a decision, and waits until a model version holds it.
async fn tell(stage: &Stage, scores: &Scores, question: &Question, reward: f64) {
    let begin = Instant::now();
    let path = format!("/v1/decisions/{}/reward?sync=true", question.id);
    let body =
        serde_json::json!({ "id": question.id, "value": reward, "event_time": question.asked_ms + 1 }).to_string();
    if stage.client.post(&path, "application/json", body).await.is_some_and(|(status, _)| status == 202) {
        scores.learnt(begin.elapsed());
    }
}

fn send(stage: &Stage, events: Vec<Event>, sending: &mut JoinSet<()>) {
    for batch in events.chunks(200) {
        let (stage, count) = (stage.clone(), batch.len() as u64);
        let body = serde_json::to_string(batch).expect("events are text and numbers");
        sending.spawn(async move { send_rows(&stage, count, body).await });
    }
}

async fn send_rows(stage: &Stage, rows: u64, body: String) {
    stage.ledger.viewers_send(rows);
    if let Some((status, body)) = stage.client.post("/v1/events", "application/json", body).await {
        stage.ledger.answered(read_answer(status, &body, rows));
    }
}
