use super::*;

fn context<'a>(session: &'a str, place: u32, version: u64, vector: &'a [f32]) -> ContextRef<'a> {
    let event_time = version as i64;
    ContextRef {
        kind: Kind::Session,
        place,
        session: Some(session),
        viewer: Some("v"),
        is_renamed: true,
        version,
        is_again: false,
        event_time,
        vector,
        part: Part::Whole,
    }
}

#[test]
fn a_reader_sees_one_refresh_whole_while_another_is_written() {
    const REFRESHES: u64 = 200_000;
    let contexts = std::sync::Arc::new(Contexts::new(1, 64, &[]));
    let mut places = Places::default();
    contexts.publish(&mut places, &context("s", 0, 1, &[1.0; 64]));
    let reader = std::thread::spawn({
        let contexts = std::sync::Arc::clone(&contexts);
        move || {
            let (mut last, mut different) = (0, 0);
            while last < REFRESHES {
                let seen = contexts.get(Kind::Session, "s").expect("it is there all the time");
                assert!(seen.version >= last, "{} after {last}", seen.version);
                assert_eq!((seen.updates, seen.event_time), (seen.version, seen.version as i64));
                assert!(seen.vector.iter().all(|x| *x == seen.version as f32), "{}: {:?}", seen.version, seen.vector);
                different += u64::from(seen.version > last);
                last = seen.version;
            }
            different
        }
    });
    for version in 2..=REFRESHES {
        contexts.publish(&mut places, &context("s", 0, version, &[version as f32; 64]));
    }
    assert!(reader.join().expect("the reader saw nothing torn") > 1);
}

#[test]
fn a_place_that_another_key_took_is_that_keys_alone() {
    let contexts = Contexts::new(1, 64, &[]);
    let mut places = Places::default();
    contexts.publish(&mut places, &context("a", 3, 1, &[1.0]));
    contexts.remove(&mut places, Kind::Session, 3, "a");
    contexts.publish(&mut places, &context("b", 3, 2, &[2.0]));
    assert_eq!(contexts.get(Kind::Session, "a"), None);
    let b = contexts.get(Kind::Session, "b").expect("it was published");
    assert_eq!((b.session.as_deref(), b.version, b.updates, b.vector), (Some("b"), 2, 1, vec![2.0]));
}

#[test]
fn places_that_several_threads_filled_are_those_of_one() {
    let contexts = Contexts::new(1, 64, &[]);
    let (mut places, mut more) = (Places::default(), Places::default());
    for (nth, session) in ["a", "b", "c", "d"].into_iter().enumerate() {
        let half = if nth % 2 == 0 { &mut places } else { &mut more };
        contexts.publish(half, &context(session, nth as u32, 1, &[1.0]));
    }
    places.add(more);
    places.add(Places::default());
    for (nth, session) in ["a", "b", "c", "d"].into_iter().enumerate() {
        let again = ContextRef { is_renamed: false, ..context("", nth as u32, 2, &[2.0]) };
        contexts.publish(&mut places, &again);
        let shown = contexts.get(Kind::Session, session).expect("it is alive");
        assert_eq!((shown.version, shown.updates, shown.vector), (2, 2, vec![2.0]), "{session}");
    }
    contexts.remove(&mut places, Kind::Session, 3, "d");
    assert_eq!(contexts.len(), (3, 0));
}

#[test]
fn a_new_name_is_shown_and_counts_on() {
    let contexts = Contexts::new(1, 64, &[]);
    let mut places = Places::default();
    contexts.publish(&mut places, &context("a", 0, 1, &[1.0]));
    contexts.publish(&mut places, &ContextRef { viewer: Some("w"), ..context("a", 0, 2, &[2.0]) });
    let a = contexts.get(Kind::Session, "a").expect("it was published");
    assert_eq!((a.viewer.as_deref(), a.version, a.updates, a.vector), (Some("w"), 2, 2, vec![2.0]));
}

#[test]
fn what_changed_is_written_and_the_rest_stays() {
    let contexts = Contexts::new(1, 4, &[1, 3]);
    let mut places = Places::default();
    contexts.publish(&mut places, &context("a", 0, 1, &[1.0; 4]));
    let part = ContextRef { session: None, viewer: None, is_renamed: false, ..context("", 0, 2, &[2.0; 2]) };
    contexts.publish(&mut places, &ContextRef { part: Part::Profile, ..part });
    let a = contexts.get(Kind::Session, "a").expect("it was published");
    assert_eq!((a.session.as_deref(), a.viewer.as_deref(), a.version), (Some("a"), Some("v"), 2));
    assert_eq!((a.updates, a.vector), (2, vec![1.0, 2.0, 1.0, 2.0]));
}

#[test]
fn the_session_of_a_viewer_may_change_whatever_its_length() {
    let contexts = Contexts::new(1, 64, &[]);
    let mut places = Places::default();
    let long = "s".repeat(128);
    let shown = [Some("ab"), Some("session-0123456789"), None, Some(&*long), Some("é"), Some(&*long)];
    for (version, session) in (1..).zip(shown) {
        let of_viewer = ContextRef { kind: Kind::Viewer, session, ..context("", 0, version, &[]) };
        contexts.publish(&mut places, &of_viewer);
        contexts.publish(&mut places, &ContextRef { session: None, viewer: None, is_renamed: false, ..of_viewer });
        let v = contexts.at(&places, Kind::Viewer, 0).expect("it was published");
        assert_eq!((v.session.as_deref(), v.viewer.as_deref()), (session, Some("v")));
        assert_eq!((v.version, v.updates), (version, 2 * version));
    }
    // A vector comes where there was none, under the name it had.
    let alone = ContextRef { kind: Kind::Viewer, session: None, is_renamed: true, ..context("", 0, 9, &[1.0]) };
    contexts.publish(&mut places, &alone);
    let v = contexts.get(Kind::Viewer, "v").expect("it was published");
    assert_eq!((v.session, v.vector, v.updates), (None, vec![1.0], 13));
}

#[test]
fn a_viewer_is_shown_with_the_vector_of_their_session_or_not_at_all() {
    let contexts = Contexts::new(1, 64, &[]);
    let mut places = Places::default();
    let show = |places: &mut Places, viewer, version| {
        contexts.publish(places, &ContextRef { viewer: Some(viewer), ..context("s", 0, version, &[7.0]) });
    };
    contexts.publish(&mut places, &ContextRef { kind: Kind::Viewer, ..context("s", 0, 1, &[]) });
    assert_eq!(contexts.get(Kind::Viewer, "v"), None, "without its session there is no vector");
    show(&mut places, "v", 2);
    let v = contexts.get(Kind::Viewer, "v").expect("it was published");
    assert_eq!((v.vector, v.version), (vec![7.0], 2));
}

#[test]
fn what_another_partition_publishes_now_outlives_the_removal_in_the_one_before() {
    let contexts = Contexts::new(1, 64, &[]);
    let (mut before, mut now) = (Places::default(), Places::default());
    contexts.publish(&mut before, &context("a", 0, 1, &[1.0]));
    contexts.publish(&mut now, &context("a", 5, 9, &[9.0]));
    contexts.remove(&mut before, Kind::Session, 0, "a");
    assert_eq!(contexts.get(Kind::Session, "a").expect("it is alive").version, 9);
}

#[test]
fn who_follows_is_told_whenever_it_began() {
    let contexts = Contexts::new(1, 64, &[]);
    let mut places = Places::default();
    let mut show = |session, place, version, viewer| {
        let c = ContextRef { viewer: Some(viewer), ..context(session, place, version, &[1.0]) };
        contexts.publish(&mut places, &c);
        contexts.notify(&places, [(Kind::Session, place)].into_iter());
    };
    let told = |follower: &mut watch::Receiver<u64>| {
        let is_new = follower.has_changed().expect("the contexts are there");
        is_new.then(|| *follower.borrow_and_update())
    };
    let mut early = contexts.watch(Kind::Session, "a");
    show("a", 0, 1, "v");
    show("b", 1, 2, "v");
    assert_eq!(told(&mut early), Some(1));
    let mut late = contexts.watch(Kind::Session, "b");
    assert_eq!(told(&mut late), None);
    show("b", 1, 3, "v");
    assert_eq!((told(&mut early), told(&mut late)), (None, Some(3)));
    // Another name, another cell.
    show("b", 1, 4, "w");
    assert_eq!(told(&mut late), Some(4));
    show("b", 1, 5, "w");
    assert_eq!(told(&mut late), Some(5));
}
