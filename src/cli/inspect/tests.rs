use super::{ask, dangling, decision, read, read_dangling, read_decision, text};
use crate::cli::Failure;
use crate::inspect::dangling::DanglingReport;
use crate::inspect::decision::tests::world::World;
use crate::inspect::tests::{T0, append, config, event, found, inspected, slot};
use crate::inspect::{EVENTS_MAX, Found};
use crate::log::{EmbeddedLog, Log, MemoryLog, RecordBatch};
use saccade_topology::{Arrived, IngestTime, Offset, Record};
use std::io::{Read, Write};

#[test]
fn a_gap_is_a_border_and_the_vector_is_of_the_last_life() {
    let events = [
        (event("a", "play", "s", 0), 0),
        (event("b", "play", "s", 60), 60),
        (event("c", "play", "s", 60 + 1801), 60 + 1801),
        (event("d", "pause", "s", 60 + 1805), 60 + 1805),
    ];
    let inspection = inspected(&events, "s");
    let view = &inspection.partitions[0];
    let borders: Vec<_> = view.borders.iter().map(|b| (b.before, b.reason.as_str(), b.events)).collect();
    assert_eq!(borders, [(2, "gap", 2)]);
    assert_eq!(slot(view, "events").value, Some(2.0));
    assert!(text::render(&inspection, None).contains("ended by gap after 2 events in 60.000 s; 1801.000 s later"));
}

#[test]
fn records_that_were_dropped_are_said_to_be_missing_and_offsets_that_never_were_are_not() {
    let log = MemoryLog::new(1);
    for (offset, id) in [(1000, "a"), (1001, "b")] {
        let mut batch = RecordBatch::default();
        batch.push(&Arrived { ingest_time: IngestTime(T0), record: Record::Event(event(id, "play", "s", 0)) });
        log.append(0, Offset(offset), &batch).expect("the log takes a batch");
    }
    let begins_at = |log| match found(log, "s") {
        Found::Session(inspection) => (inspection.partitions[0].log_begins_at, text::render(&inspection, None)),
        _ => panic!("its events are there"),
    };
    let (at, text) = begins_at(&log);
    assert!(at.is_none() && !text.contains("log begins"), "{text}");
    log.trim(0);
    let (at, text) = begins_at(&log);
    assert!(at == Some(1001) && text.contains("the log begins at offset 1001"), "{text}");
}

#[test]
fn a_directory_in_use_is_told_to_be_asked_over_http() {
    let data = tempfile::tempdir().expect("a temporary directory");
    let config = config();
    let missing = read(&config, &data.path().join("none"), "s").err().map(message);
    assert!(missing.as_deref().is_some_and(|m| m.starts_with("2: there is no log")), "{missing:?}");
    let log = EmbeddedLog::open(data.path(), &config.log, None).expect("an empty directory opens");
    append(&log, &[(event("a", "play", "s", 0), 0)]);
    let in_use = read(&config, data.path(), "it's").err().map(message).unwrap_or_default();
    assert!(in_use.ends_with(r"ask it: saccade inspect session 'it'\''s' --url http://127.0.0.1:8080"), "{in_use}");
    drop(log);
    assert_eq!(read(&config, data.path(), "s").map(|i| i.partitions.len()).map_err(message), Ok(1));
    let unknown = read(&config, data.path(), "t").err().map(message).unwrap_or_default();
    assert!(unknown.starts_with("1: no event of session \"t\""), "{unknown}");
}

fn message(failure: Failure) -> String {
    match failure {
        Failure::Usage(message) => format!("2: {message}"),
        Failure::Failed(message) => format!("1: {message}"),
        Failure::Closed => "0".into(),
    }
}

#[test]
fn text_aligns_its_columns_and_shows_no_control_characters() {
    let events = [(event("a\u{1b}[2J", "play", "s", 0), 1), (event("b", "buffer_start", "s", 1), 2)];
    let shown = text::render(&inspected(&events, "s"), Some("http://h:1/"));
    assert!(!shown.contains('\u{1b}') && shown.contains("\\u{1b}[2J"), "{shown}");
    assert!(shown.contains("http://h:1/v1/context/viewer/v"), "{shown}");
    let at = |part: &str| shown.lines().find_map(|l| l.find(part)).unwrap_or_else(|| panic!("{part} in {shown}"));
    assert_eq!(at("accepted\n".trim()), at("accepted"));
    assert_eq!(at("result"), shown.lines().filter_map(|l| l.find(" accepted")).max().expect("rows") + 1, "{shown}");
}

#[test]
fn a_server_is_named_by_scheme_host_and_port() {
    let parse = |url| ask::Server::parse(url).map(|s| (s.authority, s.address)).map_err(message);
    assert_eq!(parse("http://127.0.0.1:8080/"), Ok(("127.0.0.1:8080".into(), "127.0.0.1:8080".into())));
    assert_eq!(parse("http://a.test"), Ok(("a.test".into(), "a.test:80".into())));
    for bad in ["https://a:1", "a:1", "http://a/path", "", "http://a?x"] {
        assert!(parse(bad).is_err_and(|m| m.starts_with("2: --url")), "{bad}");
    }
}

#[test]
fn the_newest_events_are_listed_up_to_the_limit_and_what_is_missing_is_said() {
    let ids: Vec<String> = (0..=EVENTS_MAX).map(|i| format!("e{i:05}")).collect();
    let events: Vec<_> = (0..).zip(&ids).map(|(i, id)| (event(id, "play", "s", i / 100), i / 100)).collect();
    let full = inspected(&events[1..], "s");
    assert!(full.partitions[0].events.len() == EVENTS_MAX && slot(&full.partitions[0], "events").explained);
    let over = inspected(&events, "s");
    let view = &over.partitions[0];
    assert_eq!(
        (view.events.len(), view.counts.total(), view.events[0].arrival),
        (EVENTS_MAX, EVENTS_MAX as u64 + 1, 2)
    );
    assert!(!slot(view, "events").explained, "one event is missing from the moves");
    assert!(text::render(&over, None).contains("(the newest 10000; 1 older left out)"));
}

#[test]
fn a_server_is_asked_with_the_token_and_its_refusals_are_explained() {
    let ok =
        serde_json::to_string(&inspected(&[(event("a", "play", "s", 0), 0)], "s")).expect("a report is plain data");
    let refusal = |code| format!(r#"{{"error":{{"code":"{code}","message":"because"}}}}"#);
    let table = [
        ("200 OK", ok, Ok(1)),
        ("404 Not Found", refusal("no_session"), Err("1: because".to_string())),
        ("401 Unauthorized", refusal("unauthorized"), Err("401: because; here: --token TOKEN".to_string())),
        ("429 Too Many Requests", refusal("inspecting"), Err("429 Too Many Requests: because".to_string())),
        ("200 OK", "{}".to_string(), Err("is it another version of saccade?".to_string())),
    ];
    for (status, body, expected) in table {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("it is bound"));
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a connection");
            let mut head = vec![];
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).expect("a request");
                head.push(byte[0]);
            }
            write!(stream, "HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len()).expect("an answer");
            String::from_utf8(head).expect("a request's head is text").to_lowercase()
        });
        let answer = ask::session(&url, Some("t"), "a/b").map(|i| i.partitions.len()).map_err(message);
        let asked = server.join().expect("the server's thread ends");
        assert!(asked.starts_with("get /v1/inspect/session/a%2fb http/1.1") && asked.contains("bearer t"), "{asked}");
        match expected {
            Ok(partitions) => assert_eq!(answer, Ok(partitions)),
            Err(part) => assert!(answer.as_ref().is_err_and(|m| m.ends_with(&part)), "{answer:?}"),
        }
    }
}

#[test]
fn a_decision_is_told_in_sentences_before_its_numbers() {
    let mut world = World::new("", 1);
    world.learn(200);
    let shown = decision::render(&world.inspected("d150"));
    let order = [
        "Model home was asked at",
        "was put first. It had a probability of",
        "What made the difference between",
        "reproduced bit for bit",
        "what was asked",
        "what was answered: lin_ucb",
        "number drawn",
        "what it was made from: context version",
        "evening (of the request)",
        "made again from the log: reproduced bit for bit",
        "what followed:",
        "records that touched it, in order",
    ];
    let places: Vec<_> =
        order.iter().map(|part| shown.find(part).unwrap_or_else(|| panic!("{part} in {shown}"))).collect();
    assert!(places.is_sorted(), "{places:?} {shown}");
    assert!(shown.lines().take(12).all(|line| line.chars().count() <= 110), "{shown}");
    let tampered = world.tampered(|d| d.picks[0].score += 1.0);
    let report = crate::inspect::decision::tests::world::found(&tampered, &world.plan, "d150");
    let shown = decision::render(&crate::inspect::decision::tests::world::report(report));
    assert!(shown.contains("first difference  picks[0].score"), "{shown}");
}

#[test]
fn decisions_and_dangling_rewards_are_read_from_a_data_directory() {
    let data = tempfile::tempdir().expect("a temporary directory");
    let config = crate::inspect::decision::tests::world::config("");
    let mut world = World::new("", 1);
    world.learn(10);
    world.reward(5, "lost", 1.0);
    world.event(7200, "later", "scroll", None, None);
    let log = EmbeddedLog::open(data.path(), &config.log, Some(1)).expect("an empty directory opens");
    let mut batch = RecordBatch::default();
    world.records.iter().for_each(|record| batch.push_encoded(record));
    log.append(0, Offset(0), &batch).expect("the log takes a batch");
    let in_use = read_decision(&config, data.path(), "d9").err().map(message).unwrap_or_default();
    assert!(in_use.ends_with("ask it: saccade inspect decision d9 --url http://127.0.0.1:8080"), "{in_use}");
    drop(log);
    let report = read_decision(&config, data.path(), "d9").map_err(message).expect("it is there");
    assert_eq!(report, world.inspected("d9"));
    let unknown = read_decision(&config, data.path(), "d99").err().map(message).unwrap_or_default();
    assert!(unknown.starts_with("1: decision \"d99\" is not in the log"), "{unknown}");
    let report = read_dangling(&config, data.path()).map_err(message).expect("the log is whole");
    let shown = dangling::render(&report);
    assert!(
        shown.starts_with("1 reward never found its decision, or what it names in it.") && shown.contains("lost"),
        "{shown}"
    );
    assert!(shown.contains("What usually causes it"), "{shown}");
    let nothing = dangling::render(&DanglingReport { waiting: Some(2), ..DanglingReport::default() });
    assert!(nothing.starts_with("No reward has missed its decision; 2 still wait"), "{nothing}");
}
