//! A decision in sentences, for people who do not read numbers first.

use super::report::*;
use crate::counted::counted;
use saccade_topology::decision::Served;
use saccade_topology::learn::Policy;

/// The report with its sentences.
pub(super) fn told(mut report: DecisionReport) -> DecisionReport {
    let mut words = vec![asked(&report)];
    words.extend(chosen(&report));
    words.extend(slate(&report));
    words.extend(because(&report));
    words.push(checked(&report));
    words.push(ended(&report));
    report.in_words = words;
    report
}

fn asked(report: &DecisionReport) -> String {
    let Asked { model, event_time, session, viewer, .. } = &report.asked;
    let whom = match (viewer, session) {
        (Some(viewer), Some(session)) => format!("viewer {viewer} in session {session}"),
        (Some(viewer), None) => format!("viewer {viewer}"),
        (None, Some(session)) => format!("session {session}"),
        (None, None) => "nobody named".into(),
    };
    let (items, shown) = (report.answered.candidates.len(), report.answered.picks.len());
    let (items, positions) = (counted(items as u64, "item"), counted(shown as u64, "position"));
    format!("Model {model} was asked at {event_time}, for {whom}, which of {items} to show in {positions}.")
}

fn chosen(report: &DecisionReport) -> Option<String> {
    let answered = &report.answered;
    let pick = answered.picks.first()?;
    let first = format!("{} was put first", pick.item);
    let preferred = answered.preferred.as_ref().map_or(String::new(), |preferred| match *preferred == pick.item {
        true => " The model, learning beside it, would have put the same item first.".into(),
        false => format!(" The model, learning beside it, would have put {preferred} first."),
    });
    Some(match answered.served {
        Served::Policy => drawn(answered, pick),
        Served::Apprentice => format!("The caller's own order was kept: {first}.{preferred}"),
        Served::LoggingOnly => {
            format!("The caller's own order was kept: {first}. Nothing is learnt from it (mode logging_only).")
        }
        Served::OptedOut => {
            format!("The viewer does not want to be learnt from, so the caller's own order was kept: {first}.")
        }
        Served::HeldOut => format!(
            "The viewer belongs to the hold-out, which the baseline answers and nothing is learnt from: {first}, with probability {}.",
            number(pick.propensity)
        ),
        Served::Elsewhere => {
            format!(
                "The choice was made elsewhere: {first}, with probability {}, as it was told.",
                number(pick.propensity)
            )
        }
    })
}

/// A choice of the policy: how probable it was, and why.
fn drawn(answered: &Answered, pick: &PickReport) -> String {
    let first = format!("{} was put first. It had a probability of {}", pick.item, number(pick.propensity));
    let others = 100.0 * (1.0 - pick.propensity);
    let chance = match answered.candidates.len() {
        1 => "there was no other".to_string(),
        _ if others < 0.5 => format!("chance could have chosen another in {} of 10000 cases", (100.0 * others).round()),
        _ => format!("chance could have chosen another in {} of 100 cases", others.round()),
    };
    if matches!(answered.policy, Some(Policy::Uniform)) {
        return format!("{first}: the policy shuffles, all are as probable; {chance}.");
    }
    let score = |c: &CandidateReport| c.score.unwrap_or(f64::NEG_INFINITY);
    let own = answered.candidates.get(pick.candidate as usize);
    let others = answered.candidates.iter().enumerate().filter(|(i, _)| *i != pick.candidate as usize).map(|(_, c)| c);
    let best = others.max_by(|a, b| score(a).total_cmp(&score(b)));
    let expected = |c: &CandidateReport| estimate(score(c), c.uncertainty);
    let (Some(own), Some(best)) = (own.filter(|c| c.uncertainty.is_some()), best) else {
        return format!("{first}: the model expected {} of it; {chance}.", number(pick.score));
    };
    let most = answered.candidates.iter().filter_map(|c| c.probability).fold(0.0, f64::max);
    let is_likeliest = pick.propensity >= most;
    let why = match score(own).total_cmp(&score(best)) {
        std::cmp::Ordering::Greater => format!("more than of any other (next {}: {})", best.item, expected(best)),
        std::cmp::Ordering::Equal => format!("as much as of {}", best.item),
        std::cmp::Ordering::Less if is_likeliest => {
            format!("less than of {} ({}), but it knows less of it, and trying it may pay", best.item, expected(best))
        }
        std::cmp::Ordering::Less => format!("less than of {} ({})", best.item, expected(best)),
    };
    let luck = if is_likeliest {
        ""
    } else {
        " It was drawn by chance, so that the model learns of what it would not choose:"
    };
    match luck.is_empty() {
        true => format!("{first}: the model expected {} of it, {why}; {chance}.", expected(own)),
        false => format!("{first}: the model expected {} of it, {why}.{luck} {chance}.", expected(own)),
    }
}

fn slate(report: &DecisionReport) -> Option<String> {
    let rest = report.answered.picks.get(1..).filter(|rest| !rest.is_empty())?;
    let of = |pick: &PickReport| format!("{} ({})", pick.item, number(pick.propensity));
    let rest: Vec<String> = rest.iter().map(of).collect();
    Some(format!("After it came, each drawn from what was left, with its probability: {}.", rest.join(", ")))
}

/// What spoke for the pick most, against the best other one.
fn because(report: &DecisionReport) -> Option<String> {
    let compared = report.compared.as_ref()?;
    let differences = compared.groups.iter().map(|(group, own, other)| (group, own - other));
    let mut differences: Vec<_> = differences.filter(|(_, difference)| *difference != 0.0).collect();
    differences.sort_by(|a, b| b.1.abs().total_cmp(&a.1.abs()));
    let say = |(group, difference): &(&String, f64)| {
        let group = if *group == "constant" { "the item by itself" } else { group.as_str() };
        format!("{group} ({})", signed(*difference))
    };
    let said: Vec<String> = differences.iter().take(3).map(say).collect();
    let Compared { pick, other, .. } = compared;
    match said.is_empty() {
        true => Some(format!("Nothing that the model knows tells {pick} from {other}.")),
        false => Some(format!("What made the difference between {pick} and {other}: {}.", said.join(", "))),
    }
}

fn checked(report: &DecisionReport) -> String {
    let context = match report.made_from.check {
        ContextCheck::Matches => "; its features are those of the context that the log gives",
        ContextCheck::Differs => "; its features are NOT those of the context that the log gives",
        ContextCheck::NotFound => "; the context that it names cannot be found in the log",
        ContextCheck::NotFromLog => "",
    };
    let says = match report.reproduction.status {
        Status::Reproduced => "Made again from the log, it is the same: reproduced bit for bit".to_string(),
        _ => format!("Made again from the log: {}", report.reproduction.says),
    };
    format!("{says}{context}.")
}

fn ended(report: &DecisionReport) -> String {
    let f = &report.followed;
    let reward = |in_force: bool| {
        let rewards = f.picks.iter().flat_map(|pick| &pick.rewards).filter(|reward| reward.in_force == in_force);
        rewards.filter_map(|reward| reward.reward).reduce(|a, b| a + b)
    };
    let is = if f.picks.len() > 1 { "the rewards of its positions add up to" } else { "its reward is" };
    let has_spec = f.picks.iter().any(|pick| pick.rewards.iter().any(|reward| reward.in_force));
    let unknown = match f.specs_from_configuration && !has_spec {
        true => "its reward is not known here, as what put its reward spec in force was dropped from the log",
        false => "no reward is known yet",
    };
    let has_failed = f.picks.iter().flat_map(|pick| &pick.rewards).any(|reward| reward.in_force && reward.has_failed);
    let failed = if has_failed { " (the reward's expression failed, which gives the default)" } else { "" };
    let reward = reward(true).map_or(unknown.to_string(), |reward| format!("{is} {}{failed}", number(reward)));
    let joined = f.history.iter().filter(|touch| touch.became == "joined").count() as u64 + f.left_out;
    let is_observed = f.picks.iter().flat_map(|pick| &pick.rewards).any(|reward| reward.delay_ms.is_some());
    let followed = match joined {
        0 if is_observed => "what had waited for it was joined to it".to_string(),
        0 => "nothing was observed".to_string(),
        1 => "1 event or reward was joined to it".to_string(),
        n => format!("{n} events and rewards were joined to it"),
    };
    let until = f.until.map_or(String::new(), |until| format!(" until {until}"));
    match f.outcome.as_str() {
        "open" if f.since.is_none() => "It is deferred and has not been activated: it does not count yet.".into(),
        "open" => format!("It can still be rewarded{until}: so far {followed}, and {reward}."),
        "joined" => format!("It is over: {followed}, and {reward}."),
        "default" => format!("It is over: nothing was observed{until}, and {reward} (the default)."),
        "late" => "It came after its own windows were over, and was not taken in.".into(),
        "evicted" => format!("It had to make room for newer decisions (decisions_max): {followed}, and {reward}."),
        "not_activated" => "It was deferred and never activated: it never counted.".into(),
        "held_out" | "opted_out" => format!("It is over, and nothing was learnt from it: {followed}, and {reward}."),
        "unfit" => "Its features do not fit what its model had learnt: nothing was learnt from it.".into(),
        _ => "It was not taken in: the configuration has no such model, or its time was too far ahead.".into(),
    }
}

/// What is expected, with its standard error.
fn estimate(score: f64, uncertainty: Option<f64>) -> String {
    uncertainty.map_or(number(score), |std| format!("{} ± {}", number(score), number(std)))
}

/// Three significant digits.
pub(crate) fn number(x: f64) -> String {
    let magnitude = x.abs();
    if magnitude == 0.0 || (x.fract() == 0.0 && magnitude < 1e6) {
        return format!("{}", x + 0.0);
    }
    if !(1e-4..1e6).contains(&magnitude) {
        return format!("{x:.2e}");
    }
    let digits = (2 - magnitude.log10().floor() as i32).clamp(0, 8) as usize;
    let text = format!("{x:.digits$}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_string(),
        false => text,
    }
}

/// With its sign.
pub(crate) fn signed(x: f64) -> String {
    format!("{}{}", if x > 0.0 { "+" } else { "" }, number(x))
}
