//! A version is a function of what the partitions learnt, and of nothing else.

use super::*;

const ITEMS: [&str; 5] = ["a", "b", "c", "d", "e"];

fn assert_same(one: &ModelVersion, other: &ModelVersion) {
    assert_eq!((&one.covers, one.active, one.decisions), (&other.covers, other.active, other.decisions));
    for (one, other) in one.specs.iter().zip(&other.specs) {
        assert_eq!(one.version, other.version);
        assert_eq!(one.model, other.model, "the posteriors, bit for bit");
    }
}

#[test]
fn a_version_that_was_refreshed_step_by_step_has_the_bits_of_one_cut_anew() {
    for (partitions, keys) in [(1, ""), (3, ""), (1, PLAIN), (3, PLAIN)] {
        let plan = plan(keys);
        let mut world = World::new(&plan, partitions);
        let mut cutter = Cutter::new(&plan, world.learnt.clone());
        for step in 0..60 {
            world.teach(1 + step % 7, &ITEMS, 4);
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
