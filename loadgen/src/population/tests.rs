use super::*;
use std::collections::BTreeMap;

fn profile(name: &str, change: impl FnOnce(&mut Profile)) -> Profile {
    let mut profile = Profile::load(name).expect("it is shipped");
    change(&mut profile);
    profile
}

fn acts(population: &mut Population, n: usize) -> Vec<Act> {
    let act = |output| match output {
        Output::Act(act) => act,
        other => panic!("nobody is asked, so there is no {other:?}"),
    };
    (0..n).map(|_| act(population.next())).collect()
}

fn kinds(acts: &[Act]) -> BTreeMap<Kind, f64> {
    let mut kinds = BTreeMap::new();
    acts.iter().for_each(|act| *kinds.entry(act.kind).or_insert(0.0) += 1.0 / acts.len() as f64);
    kinds
}

#[test]
fn same_profile_and_seed_same_acts_and_another_seed_others() {
    let profile = profile("steady_evening", |p| p.load.rate = 500);
    let run = |seed| acts(&mut Population::new(&profile, seed, false), 5_000);
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}

#[test]
fn it_begins_in_its_steady_state_and_at_the_speed_of_the_clock() {
    let profile = profile("steady_evening", |p| {
        p.load.rate = 2_000;
        p.day.swing = 0.0;
    });
    let mut population = Population::new(&profile, 3, false);
    let first = acts(&mut population, 40_000);
    let after_first = population.now_s();
    acts(&mut population, 600_000);
    let before_last = population.now_s();
    let last = acts(&mut population, 40_000);
    let (begun, ended) = (kinds(&first), kinds(&last));
    for (kind, share) in &ended {
        let then = begun.get(kind).copied().unwrap_or(0.0);
        assert!((then - share).abs() < 0.15 * share + 0.005, "{kind:?}: {then} at first, {share} later");
    }
    let last_s = population.now_s() - before_last;
    assert!((after_first / last_s - 1.0).abs() < 0.15, "{after_first} s at first, {last_s} s later");
    assert!((last_s / 20.0 - 1.0).abs() < 0.15, "40,000 acts at 2,000 a second took {last_s} s of the viewers' time");
}

#[test]
fn time_passes_like_the_clocks_at_whatever_hour_it_starts() {
    for starts in [0.0, 4.0, 8.0, 12.0, 16.0, 19.5] {
        let profile = profile("steady_evening", |p| {
            p.load.rate = 5_000;
            p.day.starts = starts;
            p.disorder.duplicates = 0.0;
        });
        let mut population = Population::new(&profile, 3, false);
        acts(&mut population, 5_000 * 60);
        let speed = population.now_s() / 60.0;
        assert!((speed - 1.0).abs() < 0.02, "{speed} s of the viewers' time a second from {starts} h on");
    }
}

#[test]
fn where_they_follow_the_rate_others_come_for_a_peak_and_nobody_is_in_a_hurry() {
    let profile = profile("steady_evening", |p| {
        (p.load.rate, p.viewers.follow_rate) = (1_000, true);
        p.load.shape = Shape::parse("levels:every=30s,of=1/4/1/4").expect("a shape");
        p.disorder.duplicates = 0.0;
    });
    let mut population = Population::new(&profile, 3, false);
    let (mut before, mut seen) = (0.0, vec![]);
    let mut sessions = BTreeMap::new();
    for (level, factor) in (0..).zip([1, 4, 1, 4]) {
        population.follow(level * 30_000_000_000);
        let acts = acts(&mut population, 30_000 * factor);
        let passed = population.now_s() - before;
        before = population.now_s();
        assert!((passed / 30.0 - 1.0).abs() < 0.05, "level {level}: {passed} s of 30");
        let highest = acts.iter().map(|act| act.viewer as usize).max().expect("there are acts");
        assert!(highest <= population.viewers() * factor / 4, "level {level}: {highest}");
        seen.push(highest);
        for act in &acts {
            let last = sessions.insert(act.viewer, act.visit).unwrap_or(act.visit);
            assert!(last <= act.visit, "{act:?} after {last}");
        }
        // Who was there before comes with another session.
        let again = acts.iter().filter(|act| act.viewer as usize > population.viewers() / 4);
        assert!(level < 3 || again.map(|act| act.visit).min() > Some(1));
    }
    assert!(seen[1] > 3 * seen[0], "{seen:?}");
}

/// What may follow in a session, by what was before.
fn may_follow(before: Kind, after: Kind) -> bool {
    let browses = |kind: Kind| !kind.is_of_player();
    match before {
        Kind::Click => after == Kind::Play,
        Kind::Pause => after == Kind::Play || after == Kind::Impression,
        Kind::BufferStart => after == Kind::BufferEnd,
        Kind::Stop => after == Kind::Play || after == Kind::Impression,
        Kind::Error => after == Kind::Impression,
        Kind::Play | Kind::Progress | Kind::Seek | Kind::BufferEnd | Kind::QualityChange => {
            after.is_of_player() && after != Kind::Play && after != Kind::BufferEnd
        }
        _ => browses(after),
    }
}

#[test]
fn sessions_follow_the_state_machine() {
    let profile = profile("bad_network", |p| p.load.rate = 300);
    let mut last: BTreeMap<(u32, u32), Act> = BTreeMap::new();
    for act in acts(&mut Population::new(&profile, 1, false), 100_000) {
        let key = (act.viewer, act.visit);
        if let Some(before) = last.get(&key) {
            assert!(may_follow(before.kind, act.kind), "{before:?} then {act:?}");
            if let (Some((before_ms, _)), Some((ms, length))) = (before.playhead, act.playhead) {
                assert!(ms <= length);
                let may_go_back = matches!(act.kind, Kind::Seek | Kind::Play) || before.kind == Kind::Stop;
                assert!(ms >= before_ms || may_go_back, "{before:?} then {act:?}");
            }
        }
        last.insert(key, act);
    }
    assert!(kinds(&last.into_values().collect::<Vec<_>>()).len() > 5);
}

#[test]
fn popular_items_are_shown_as_often_as_zipf_says() {
    let mut counts = vec![0.0; 5_000];
    let profile = profile("steady_evening", |p| p.load.rate = 1_000);
    let shown = acts(&mut Population::new(&profile, 1, false), 300_000);
    for act in shown.iter().filter(|act| act.kind == Kind::Impression) {
        counts[act.item.expect("an impression is of an item") as usize] += 1.0;
    }
    let (first, tenth): (f64, f64) = (counts[0], counts[8..11].iter().sum::<f64>() / 3.0);
    assert!((first / tenth / 10.0 - 1.0).abs() < 0.15, "{first} and {tenth}");
}

#[test]
fn one_hot_viewer_has_its_share_and_bots_never_watch() {
    let profile_hot = profile("one_hot_viewer", |p| p.load.rate = 1_000);
    let mut population = Population::new(&profile_hot, 1, false);
    let hot = population.viewers() as u32;
    let share = acts(&mut population, 50_000).iter().filter(|act| act.viewer == hot).count() as f64 / 50_000.0;
    assert!((share - 0.2).abs() < 0.01, "{share}");

    let profile_bots = profile("bot_flood", |p| p.load.rate = 1_000);
    let mut population = Population::new(&profile_bots, 1, false);
    let acts = acts(&mut population, 50_000);
    let of_bots = acts.iter().filter(|act| population.viewers[act.viewer as usize].is_bot);
    let (clicks, all) = of_bots.fold((0, 0), |(clicks, all), act| {
        assert!(matches!(act.kind, Kind::Click | Kind::Impression));
        (clicks + u32::from(act.kind == Kind::Click), all + 1)
    });
    assert!(all > 30_000 && clicks > all / 5, "{clicks} clicks of {all} acts of bots");
}

#[test]
fn more_come_where_it_is_evening() {
    // At 12 UTC it is evening in Japan and early morning in America.
    let profile = profile("steady_evening", |p| {
        p.load.rate = 2_000;
        p.day.starts = 12.0;
    });
    let mut population = Population::new(&profile, 1, false);
    let mut of_place = vec![0.0; profile.countries.len()];
    for act in acts(&mut population, 100_000) {
        of_place[population.belongings(act.viewer).1] += 1.0;
    }
    let per_viewer = |zone: &str| {
        let place = profile.countries.iter().position(|c| c.timezone == zone).expect("it is in the profile");
        of_place[place] / profile.countries[place].share
    };
    assert!(per_viewer("Asia/Tokyo") > 1.3 * per_viewer("America/Los_Angeles"));
}

/// Asks for decisions and answers them by `choose`, except every tenth, which comes too late.
fn play(choose: impl Fn(&[u32], usize) -> Vec<u32>) -> Population {
    let profile = profile("steady_evening", |p| {
        p.load.rate = 500;
        p.rank.share = 1.0;
    });
    let mut population = Population::new(&profile, 1, true);
    let mut asked = 0;
    for _ in 0..200_000 {
        if let Output::Ask(ask) = population.next() {
            asked += 1;
            if asked % 10 != 0 {
                let device = population.belongings(ask.viewer).0;
                let shown = choose(population.questions.candidates(ask.slot), device);
                population.questions.answer(ask.slot, ask.decision, shown.into_iter());
            }
        }
    }
    population
}

#[test]
fn regret_is_nothing_at_the_best_all_of_it_at_chance_and_what_is_late_is_unanswered() {
    let best = play(|candidates, device| {
        let mut sorted = candidates.to_vec();
        sorted.sort_by_key(|item| (item + 4 - device as u32) % 4);
        sorted.truncate(4);
        sorted
    });
    let so_far = best.so_far();
    assert!(so_far.regret().abs() < 1e-6 && so_far.gain().is_some_and(|gain| (gain - 1.0).abs() < 1e-9), "{so_far:?}");
    assert!((so_far.unanswered as f64 / so_far.looked as f64 - 0.1).abs() < 0.01, "{so_far:?}");
    assert_eq!(so_far.answered + so_far.unanswered, so_far.looked);
    assert!((so_far.earned / so_far.expected - 1.0).abs() < 0.1, "{so_far:?}");

    let chance = play(|candidates, _| candidates[..4].to_vec());
    assert!(chance.so_far().gain().is_some_and(|gain| gain.abs() < 0.05), "{:?}", chance.so_far());
}

#[test]
fn rewards_are_told_for_their_share_of_decisions_and_events_name_the_others() {
    let profile = profile("steady_evening", |p| {
        p.load.rate = 300;
        p.rank.share = 1.0;
        p.rank.explicit = 0.5;
    });
    let mut population = Population::new(&profile, 1, true);
    let (mut told, mut named) = (BTreeMap::new(), BTreeMap::new());
    for _ in 0..100_000 {
        match population.next() {
            Output::Ask(ask) => {
                let shown = population.questions.candidates(ask.slot)[..4].to_vec();
                population.questions.answer(ask.slot, ask.decision, shown.into_iter());
            }
            Output::Reward(reward) => _ = told.insert(reward.decision, reward.value),
            Output::Act(act) => {
                if let Some(decision) = act.decision {
                    named.entry(decision).or_insert_with(Vec::new).push(act.kind);
                }
            }
        }
    }
    assert!(told.keys().all(|decision| !named.contains_key(decision)));
    let share = told.len() as f64 / (told.len() + named.len()) as f64;
    assert!((share - 0.5).abs() < 0.05, "{share}");
    assert!(told.values().any(|value| *value == 1.0) && told.values().any(|value| *value == 0.0));
    assert!(named.values().any(|kinds| kinds.ends_with(&[Kind::Click, Kind::Play])));
}
