//! A version is a function of what the partitions learnt, and of nothing else.

use super::*;

const ITEMS: [&str; 5] = ["a", "b", "c", "d", "e"];

fn assert_same(one: &ModelVersion, other: &ModelVersion) {
    assert_eq!((&one.covers, one.active, one.decisions), (&other.covers, other.active, other.decisions));
    for (one, other) in one.specs.iter().zip(&other.specs) {
        assert_eq!(one.version, other.version);
        assert!(one.model == other.model, "the posteriors, bit for bit");
    }
}

#[test]
fn a_version_that_was_refreshed_step_by_step_has_the_bits_of_one_cut_anew() {
    let keys = ["", PLAIN, "\"half_life\":{\"decisions\":40}", HYBRID];
    for (partitions, keys) in [1, 2, 3].into_iter().flat_map(|partitions| keys.map(|keys| (partitions, keys))) {
        let plan = plan(keys);
        let mut world = World::new(&plan, partitions);
        world.describe(&ITEMS);
        let mut cutter = Cutter::new(&plan, world.learnt.clone());
        for step in 0..60 {
            world.teach(1 + step % 7, &ITEMS, 5);
            for partition in (0..partitions).filter(|p| (step + p) % 2 == 0 || step == 59) {
                cutter.take(partition, world.learnt[partition].clone());
            }
            cutter.cut();
        }
        let stepwise = cutter.cut().remove(0);
        assert_same(&stepwise, &world.cut());
        assert!(stepwise.model().is_some());
    }
}

#[test]
fn the_order_in_which_partitions_hand_over_does_not_matter() {
    let plan = plan("");
    let mut world = World::new(&plan, 3);
    world.teach(50, &ITEMS, 4);
    let early = world.learnt.clone();
    world.teach(200, &ITEMS, 4);
    let mut versions = vec![];
    for order in [[0, 1, 2], [2, 0, 1], [1, 2, 0]] {
        let mut cutter = Cutter::new(&plan, early.clone());
        for partition in order {
            cutter.take(partition, world.learnt[partition].clone());
            cutter.cut();
        }
        versions.push(cutter.cut().remove(0));
    }
    assert_same(&versions[0], &versions[1]);
    assert_same(&versions[0], &versions[2]);
}

#[test]
fn three_partitions_know_what_one_knows() {
    let plan = plan(PLAIN);
    let (mut one, mut three) = (World::new(&plan, 1), World::new(&plan, 3));
    one.teach(300, &ITEMS, 4);
    three.teach(300, &ITEMS, 4);
    let x = [1.0, 0.5, -0.25, 2.0];
    for (one, three) in scores(&one.cut(), &x, &ITEMS).into_iter().zip(scores(&three.cut(), &x, &ITEMS)) {
        assert!((one - three).abs() < 1e-9, "{one} {three}");
    }
    assert_eq!(one.cut().decisions, three.cut().decisions);
}

#[test]
fn what_did_not_change_is_shared_with_the_version_before() {
    let plan = plan("");
    for partitions in [1, 3] {
        let mut world = World::new(&plan, partitions);
        world.teach(100, &ITEMS, 4);
        let mut cutter = Cutter::new(&plan, world.learnt.clone());
        let first = cutter.cut().remove(0);
        cutter.take(0, Learnt { offset: 1000, ..world.learnt[0].clone() });
        let second = cutter.cut().remove(0);
        assert_eq!(second.covers[0], 1000);
        let (first, second) = (first.model().expect("learnt"), second.model().expect("learnt"));
        assert!(Arc::ptr_eq(first, second));
    }
}

#[test]
fn an_item_in_the_place_of_a_forgotten_one_begins_anew() {
    let plan = plan(PLAIN);
    let mut world = World::new(&plan, 1);
    world.learn(0, "old", &[1.0, 0.0], 5.0);
    let mut cutter = Cutter::new(&plan, world.learnt.clone());
    cutter.cut();
    let book = &mut world.learnt[0].books.models[0];
    assert_eq!(book.action("new", 1, 1), 0, "there is room for one");
    world.learn(0, "new", &[1.0, 0.0], -5.0);
    cutter.take(0, world.learnt[0].clone());
    let version = cutter.cut().remove(0);
    assert_same(&version, &world.cut());
    let scores = scores(&version, &[1.0, 0.0], &["old", "new"]);
    assert!(scores[0] == 0.0 && scores[1] < -1.0, "{scores:?}");
}

#[test]
fn a_spec_that_was_proposed_again_does_not_keep_the_sums_of_the_one_before() {
    let plan = plan("");
    let mut world = World::new(&plan, 1);
    world.teach(40, &ITEMS, 4);
    let mut cutter = Cutter::new(&plan, world.learnt.clone());
    cutter.cut();
    world.learnt[0].books.models[0].specs.clear();
    world.learnt[0].registry.models[0].running[0].since = 99;
    world.teach(60, &ITEMS[..2], 4);
    cutter.take(0, world.learnt[0].clone());
    assert_same(&cutter.cut().remove(0), &world.cut());
}

/// With so little room that items leave all the time and come back, to other places, while other partitions still know them.
#[test]
fn items_that_come_and_go_in_one_partition_have_the_bits_of_a_version_cut_anew() {
    let names: Vec<String> = (0..12).map(|n| format!("item-{n}")).collect();
    for (partitions, keys, room) in [(1, "", 4), (2, "", 4), (3, HYBRID, 4), (3, "", 12)] {
        let plan = plan(keys);
        let mut world = World::new(&plan, partitions);
        world.room = room;
        world.describe(&names.iter().map(String::as_str).collect::<Vec<_>>());
        let mut cutter = Cutter::new(&plan, world.learnt.clone());
        for step in 0..400 {
            let x = world.context(5);
            let [which, whose, reward] = [0, 1, 2].map(|_| world.normals(1)[0]);
            let item = &names[(which * 3.0).rem_euclid(12.0) as usize];
            let partition = (whose * 100.0).rem_euclid(partitions as f64) as usize;
            if step % 5 == 4 {
                // A decision that does not fit: the item gets a place, and nothing is learnt of it.
                let learnt = &mut world.learnt[partition];
                learnt.books.models[0].action(item, learnt.offset, room);
            } else {
                world.learn(partition, item, &x, reward);
            }
            cutter.take(partition, world.learnt[partition].clone());
            let (version, anew) = (cutter.cut().remove(0), world.cut());
            assert_same(&version, &anew);
            let known: std::collections::BTreeSet<&str> = version.items().iter().map(|(_, item)| item).collect();
            for item in &names {
                let is_known = world.learnt.iter().any(|learnt| learnt.books.models[0].actions.place(item).is_some());
                assert_eq!(
                    (known.contains(item.as_str()), version.items().place(item).is_some()),
                    (is_known, is_known)
                );
            }
            assert_eq!(known.len(), version.items().iter().count(), "step {step}: each item has one place");
        }
    }
}

/// Frames are of the partitions' own snapshots: between two of them only what was learnt of is derived again.
#[test]
fn of_items_that_no_partition_learnt_of_the_estimates_are_shared_with_the_version_before() {
    let names: Vec<String> = (0..200).map(|n| format!("item-{n}")).collect();
    let items: Vec<&str> = names.iter().map(String::as_str).collect();
    let plan = plan("");
    for partitions in [1, 2] {
        let mut world = World::new(&plan, partitions);
        world.teach(4000, &items, 4);
        let mut cutter = Cutter::new(&plan, world.learnt.clone());
        let first = cutter.cut().remove(0);
        world.teach(2, &items[100..], 4);
        (0..partitions).for_each(|partition| cutter.take(partition, world.learnt[partition].clone()));
        let second = cutter.cut().remove(0);
        let of = |version: &Arc<ModelVersion>, item: &str| {
            let place = version.items().place(item).expect("it was taught");
            std::ptr::from_ref(version.model().expect("it has learnt").action(place))
        };
        let kept = items.iter().filter(|item| of(&first, item) == of(&second, item)).count();
        assert_eq!(kept, items.len() - 2, "in {partitions} partitions");
    }
}

#[test]
fn another_half_life_derives_all_items_again() {
    let plan = plan("");
    let mut world = World::new(&plan, 2);
    let mut cutter = Cutter::new(&plan, world.learnt.clone());
    let mut rungs = std::collections::BTreeSet::new();
    for round in 0..6000 {
        let x = world.context(4);
        let (item, turned) = (round / 2 % 2, usize::from(round >= 3000));
        let reward = if item == turned { x[1] } else { x[2] - x[3] } + 0.3 * world.normals(1)[0];
        // Of a third one nothing is learnt when the change comes.
        let item = if round < 500 && round % 5 == 0 { 2 } else { item };
        world.learn(round % 2, ITEMS[item], &x, reward);
        if round % 50 == 49 {
            (0..2).for_each(|partition| cutter.take(partition, world.learnt[partition].clone()));
            let version = cutter.cut().remove(0);
            assert_same(&version, &world.cut());
            rungs.insert(version.model().expect("it has learnt").frame().rung);
        }
    }
    assert!(rungs.contains(&0) && rungs.len() > 1, "{rungs:?}");
}
