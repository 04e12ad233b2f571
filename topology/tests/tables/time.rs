//! Lateness, clocks that are ahead, clocks that are wrong.

use crate::driver::*;
use saccade_topology::*;

fn counting() -> Spec {
    spec(vec![feature("events", FeatureType::Count)])
}

/// An event of `s` at `ms` by the player's clock, sent at `sent` by the same clock.
fn sent(ms: i64, sent: i64, inferred: bool) -> Event<'static> {
    Event { sent_at: Some(EventTime(T0 + sent)), sent_at_inferred: inferred, ..at(ms, "click") }
}

/// Event time of the latest context of `s`, since T0.
fn event_time(driver: &Driver) -> i64 {
    driver.context(Kind::Session, "s").event_time
}

#[test]
fn an_event_at_the_horizon_is_folded_and_one_millisecond_before_it_is_late() {
    for (ms, outcome) in [(-3_602_000, Outcome::Accepted), (-3_602_001, Outcome::Late(Late::BehindHorizon))] {
        let mut driver = Driver::new(&counting());
        driver.accept(at(0, "click"));
        let late = Event { session: Some("other"), ..at(ms, "click") };
        assert_eq!(driver.send(late), outcome, "{ms}");
        // A late event is counted once, however often it comes.
        let counters = driver.topology.counters();
        assert_eq!((counters.accepted, counters.late), if ms == -3_602_000 { (2, 0) } else { (1, 1) });
    }
}

#[test]
fn an_event_max_future_ahead_of_its_arrival_is_taken_and_one_millisecond_more_is_rejected() {
    let mut driver = Driver::new(&counting());
    assert_eq!(driver.send_at(0, at(300_000, "click")), Outcome::Accepted);
    let future = Future { ahead_ms: 300_001, max_ms: 300_000 };
    assert_eq!(driver.send_at(0, at(300_001, "click")), Outcome::Rejected(future));
    driver.check(&[("events", 1.0)]);
    let text = future.to_string();
    assert!(text.contains("300001 ms") && text.contains("300000 ms") && text.contains("time.max_future"), "{text}");
    let event = Event { id: "x", ..at(300_001, "click") };
    assert_eq!(admit(&counting().time, &event, IngestTime(T0)), Err(future), "ingest and fold agree");
    assert_eq!(admit(&counting().time, &event, IngestTime(T0 + 1)), Ok(()));
}

#[test]
fn one_clock_that_is_ahead_makes_no_other_late() {
    let mut driver = Driver::new(&counting());
    driver.accept(at(0, "click"));
    assert_eq!(driver.send_at(0, at(300_000, "click")), Outcome::Accepted);
    assert_eq!(driver.topology.watermark(), Some(T0 - 2000));
}

#[test]
fn a_clock_off_by_no_more_than_the_tolerance_is_taken_as_it_is() {
    for (clock, corrected) in [(10_000, 5000), (10_001, 5000 + 10_001), (-10_000, 5000), (-10_001, 5000 - 10_001)] {
        let mut driver = Driver::new(&counting());
        // The player's clock is `clock` behind: sent at 6000 by it, arrived at 6000 + clock.
        let ingest = 6000 + clock;
        assert_eq!(driver.send_at(ingest, sent(5000, 6000, false)), Outcome::Accepted);
        assert_eq!(event_time(&driver), corrected, "clock {clock} behind");
    }
}

#[test]
fn a_measured_clock_offset_is_kept_for_the_session() {
    let mut driver = Driver::new(&counting());
    let hour = 3_600_000;
    driver.send_at(1000, sent(500 - hour, 1000 - hour, false));
    assert_eq!(event_time(&driver), 500);
    // This one was 700 ms on its way: by its own measure it would be 700 ms later.
    driver.send_at(2700, sent(2000 - hour, 2000 - hour, false));
    assert_eq!(event_time(&driver), 2000);
    // Another session has its own.
    driver.send_at(2700, Event { session: Some("other"), ..sent(2000 - hour, 2000 - hour, false) });
    assert_eq!(driver.context(Kind::Session, "other").event_time, 2700);
}

#[test]
fn an_offset_is_measured_again_only_where_the_kept_one_would_lose_the_event() {
    let mut driver = Driver::new(&counting());
    let day = 86_400_000;
    driver.send_at(0, sent(-day, -day, false));
    assert_eq!(event_time(&driver), 0);
    // The clock was set two days on in between.
    assert_eq!(driver.send_at(10_000, sent(10_000 + day, 10_000 + day, false)), Outcome::Accepted);
    assert_eq!(event_time(&driver), 10_000);
}

#[test]
fn an_inferred_sending_time_corrects_only_what_would_be_lost() {
    let mut driver = Driver::new(&counting());
    driver.accept(Event { session: Some("other"), ..at(10_000_000, "click") });
    // Half an hour old: kept as it is, though a measured clock would be corrected.
    driver.send_at(10_000_000, sent(8_200_000, 8_200_000, true));
    assert_eq!(event_time(&driver), 8_200_000);
    // A year old: lost without correction. What follows in the session has the same offset.
    let year = 31_536_000_000;
    driver.send_at(10_001_000, Event { session: Some("old"), ..sent(-year, -year + 400, true) });
    assert_eq!(driver.context(Kind::Session, "old").event_time, 10_000_600);
    driver.send_at(10_005_000, Event { session: Some("old"), ..sent(-year + 2000, -year + 2000, true) });
    assert_eq!(driver.context(Kind::Session, "old").event_time, 10_000_600 + 2000);
}
