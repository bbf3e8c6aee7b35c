//! The gates keep their promises on simulated fleets, through the planner itself. Seeds are fixed.

#[allow(
    dead_code,
    reason = "shared with examples/gate_figures.rs, which uses more of it"
)]
#[path = "support/simulation.rs"]
mod simulation;

use simulation::{LIMIT, World, policy, simulate};

/// α of [`policy`].
const ALPHA: f64 = 0.05;

#[test]
fn a_release_as_good_as_allowed_is_rarely_stopped() {
    let figures = simulate(&World::NULL, &policy(), 2_000);
    // Both nulls at their very border. The margin is three standard errors of 2 000 rollouts.
    assert!(
        figures.stopped() <= ALPHA + 3.0 * (ALPHA * (1.0 - ALPHA) / 2_000.0_f64).sqrt(),
        "{figures:?}"
    );
    assert!(figures.stopped() > 0.0, "the border is not tested: {figures:?}");
    assert!(figures.promoted > 0.6, "{figures:?}");
}

#[test]
fn many_failures_in_both_arms_do_not_stop_a_rollout() {
    let world = World {
        hazard: 0.05,
        differ: 0.0,
        ..World::NULL
    };
    let figures = simulate(&world, &policy(), 2_000);
    assert!(
        figures.by_health <= ALPHA / 2.0 + 3.0 * (ALPHA / 2.0 / 2_000.0_f64).sqrt(),
        "{figures:?}"
    );
}

#[test]
fn damaged_answers_are_stopped_on_one_device() {
    let figures = simulate(
        &World {
            differ: 0.8,
            ..World::NULL
        },
        &policy(),
        300,
    );
    assert_eq!(
        (figures.by_agreement, figures.promoted),
        (1.0, 0.0),
        "{figures:?}"
    );
    assert_eq!(figures.reached, 1);
    assert!(figures.inputs <= 12, "{figures:?}");
}

#[test]
fn a_release_over_the_limit_is_not_promoted() {
    let figures = simulate(
        &World {
            differ: LIMIT,
            ..World::NULL
        },
        &policy(),
        1_000,
    );
    assert!(
        figures.promoted <= 0.05 + 3.0 * (0.05_f64 / 1_000.0).sqrt(),
        "{figures:?}"
    );
}

#[test]
fn failing_devices_are_stopped_where_numbers_allow() {
    let world = World {
        devices: 100,
        differ: 0.0,
        hazard: 0.004,
        ratio: 10.0,
        ..World::NULL
    };
    let figures = simulate(&world, &policy(), 100);
    assert!(figures.by_health >= 0.95, "{figures:?}");
    assert!(figures.reached <= 50, "{figures:?}");
}
