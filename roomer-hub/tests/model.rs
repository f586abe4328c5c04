//! The hub against a naive model: both get the same random inputs, and must do the same.
//!
//! `PROPTEST_CASES=10000 cargo test --release -p roomer-hub --test model` looks longer.
#![allow(clippy::unwrap_used)] // helpers of tests, which clippy does not see as such

mod support;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use roomer_hub::HashKey;

use support::corners::{CORNERS, Seen};
use support::naive::{Effect, Model, Step};
use support::plan::{Plan, Slots, plans};
use support::world::World;

/// The most inputs in a plan.
const LINES: usize = 400;

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None, // what is found becomes a transcript
        ..ProptestConfig::default()
    })]

    #[test]
    fn the_hub_does_what_the_model_does(plan in plans(LINES)) {
        follow(&plan, |_, _| {});
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 64,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn the_hash_key_changes_nothing(plan in plans(LINES)) {
        let mut model = Model::new(plan.config, plan.handlers.clone());
        let (mut slots, keys) = (Slots::default(), [[0; 16], [0xff; 16], *b"any key would do"]);
        let mut worlds = keys.map(|key| World::new(&plan, HashKey(key)));
        for line in &plan.lines {
            let Some(step) = slots.resolve(line, &model) else { continue };
            model.step(&step);
            let [one, two, three] = worlds.each_mut().map(|world| world.transcript(&step));
            prop_assert_eq!(&one, &two);
            prop_assert_eq!(&one, &three);
        }
        let [one, two, three] = worlds.map(|world| world.hub.refusals());
        prop_assert!(one == two && two == three);
    }
}

/// Plays a plan to hub and model and compares everything after each step, which `watch` gets to
/// see too.
fn follow(plan: &Plan, mut watch: impl FnMut(&Step, &[Effect])) -> Model {
    let mut model = Model::new(plan.config, plan.handlers.clone());
    let mut world = World::new(plan, HashKey([7; 16]));
    let mut slots = Slots::default();
    for line in &plan.lines {
        let Some(step) = slots.resolve(line, &model) else { continue };
        let due = canonical(&step, model.step(&step));
        let done = canonical(&step, world.step(&step));
        assert_eq!(done, due, "hub (left) and model (right) differ after {step:?}");
        assert_eq!(world.hub.refusals(), model.refusals, "after {step:?}");
        world.check(&model.views());
        watch(&step, &done);
    }
    model
}

/// Takes out what is free: the order in which a connection that ends leaves its rooms, and
/// whether what nobody hears is told to nobody or not at all.
fn canonical(step: &Step, mut effects: Vec<Effect>) -> Vec<Effect> {
    effects.retain(|effect| !matches!(effect, Effect::Broadcast { to, .. } if to.is_empty()));
    if matches!(step, Step::Gone { .. } | Step::Close { .. }) {
        effects.sort_by_key(|effect| match effect {
            Effect::Left { room, .. }
            | Effect::Broadcast { room, .. }
            | Effect::RoomClosed { room } => *room,
            _ => usize::MAX,
        });
    }
    effects
}

/// The plans must go where bugs are: a test that never gets into a situation proves nothing
/// about it.
#[test]
fn the_plans_reach_every_corner() {
    let mut runner = TestRunner::deterministic();
    let mut seen = Seen::default();
    for _ in 0..64 {
        let plan = plans(LINES).new_tree(&mut runner).unwrap().current();
        seen.start();
        let model = follow(&plan, |step, effects| seen.step(step, effects));
        seen.refusals(model.refusals);
    }
    assert_eq!(Vec::from_iter(seen.corners), CORNERS);
}
