use super::agreement::{Limits, ln_e_above, ln_e_below, read, upper_bound};
use super::health::{RiskTable, SafeLogrank};
use super::*;
use crate::assignments::{Assignment, Assignments};
use crate::evidence::{Counts, PairedEvidence};
use crate::policy::{HazardRatio, Ppm};
use proptest::prelude::*;
use sanderling_wire::{DeviceId, HardwareId};

fn counts(inputs: u64, disagreements: u64) -> Counts {
    Counts {
        inputs,
        disagreements,
    }
}

/// Probabilities of 0 ..= n successes in n trials.
fn binomial(n: u64, p: f64) -> Vec<f64> {
    let mut pmf = vec![1.0];
    for _ in 0..n {
        pmf.resize(pmf.len() + 1, 0.0);
        for d in (0..pmf.len()).rev() {
            pmf[d] = pmf[d] * (1.0 - p) + if d > 0 { pmf[d - 1] * p } else { 0.0 };
        }
    }
    pmf
}

fn expectation(n: u64, p: f64, ln_e: impl Fn(Counts) -> f64) -> f64 {
    (0..)
        .zip(binomial(n, p))
        .map(|(d, chance)| chance * ln_e(counts(n, d)).exp())
        .sum()
}

#[test]
fn stopping_is_a_fair_game_under_the_null() {
    for p0 in [0.001, 0.04, 0.3, 0.9] {
        for n in [1, 7, 60] {
            let fair = expectation(n, p0, |c| ln_e_above(c, p0));
            assert!((fair - 1.0).abs() < 1e-9, "p0 {p0} n {n}: {fair}");
            assert!(expectation(n, p0 / 2.0, |c| ln_e_above(c, p0)) <= 1.0 + 1e-12);
        }
    }
}

#[test]
fn promotion_is_a_fair_game_under_its_null() {
    for p in [0.01, 0.1, 0.5] {
        for n in [1, 7, 60] {
            let fair = expectation(n, p, |c| ln_e_below(c, p));
            assert!((fair - 1.0).abs() < 1e-9, "p {p} n {n}: {fair}");
            assert!(expectation(n, p * 1.5, |c| ln_e_below(c, p)) <= 1.0 + 1e-12);
        }
    }
}

/// Chance that a coin of chance `p` ever crosses, by dynamic programming over all its paths of `n` throws.
fn chance_to_cross(n: u64, p: f64, crossed: impl Fn(Counts) -> bool) -> f64 {
    let mut alive = vec![1.0];
    let mut gone = 0.0;
    for thrown in 1..=n {
        alive.push(0.0);
        for d in (0..alive.len()).rev() {
            alive[d] = alive[d] * (1.0 - p) + if d > 0 { alive[d - 1] * p } else { 0.0 };
            if alive[d] > 1e-15 && crossed(counts(thrown, d as u64)) {
                gone += std::mem::take(&mut alive[d]);
            }
        }
    }
    gone
}

#[test]
fn looking_at_every_input_keeps_the_promised_error_rates() {
    let stop = chance_to_cross(600, 0.04, |c| ln_e_above(c, 0.04) >= -(0.05_f64.ln()));
    assert!((0.001..=0.05).contains(&stop), "false stops {stop}");
    let promote = chance_to_cross(600, 0.1, |c| ln_e_below(c, 0.1) >= -(0.05_f64.ln()));
    assert!((0.001..=0.05).contains(&promote), "false promotions {promote}");
}

#[test]
fn the_upper_bound_inverts_its_test_and_is_no_tighter_than_clopper_pearson() {
    for (n, d) in [(1, 0), (20, 0), (50, 2), (200, 8), (1000, 0), (40, 39)] {
        let bound = upper_bound(counts(n, d), 0.05);
        let off = ln_e_below(counts(n, d), bound) + 0.05_f64.ln();
        assert!(off.abs() < 1e-4, "{d} of {n}: {off} at {bound}");
        let tail: f64 = binomial(n, bound).iter().take(d as usize + 1).sum();
        assert!(tail <= 0.05, "{d} of {n}: P(at most {d}) = {tail} at {bound}");
    }
    assert_eq!(upper_bound(counts(0, 0), 0.05), 1.0);
    assert_eq!(upper_bound(counts(5, 5), 0.05), 1.0);
}

#[test]
fn no_allowance_makes_one_difference_proof() {
    assert_eq!(ln_e_above(counts(100, 0), 0.0), 0.0);
    assert_eq!(ln_e_above(counts(100, 1), 0.0), f64::INFINITY);
}

fn limits() -> Limits {
    Limits {
        allowed: Ppm::percent(4),
        margin: Ppm::percent(6),
        alpha: 0.025,
        risk: 0.05,
        needed: (50, 10),
    }
}

#[test]
fn one_damaged_class_is_seen_and_named() {
    let class = |name| HardwareId::new(name).unwrap();
    let classes: Vec<_> = ["pi4", "pi5", "jetson"].map(class).to_vec();
    let mut evidence = PairedEvidence {
        fleet: counts(2000, 90),
        classes: vec![
            (class("pi4"), counts(1960, 70)),
            (class("jetson"), counts(40, 20)),
        ],
    };
    let reading = read(&evidence, &classes, limits());
    assert!(reading.stops());
    assert_eq!(reading.class, Some(class("jetson")));
    evidence.fleet = counts(2000, 1000);
    assert_eq!(
        read(&evidence, &classes, limits()).class,
        None,
        "the fleet's own count does"
    );
}

#[test]
fn readings_stay_finite() {
    let evidence = PairedEvidence {
        fleet: counts(1_000_000_000, 1_000_000_000),
        classes: Vec::new(),
    };
    for allowed in [0, 40_000] {
        let reading = read(
            &evidence,
            &[],
            Limits {
                allowed: Ppm(allowed),
                ..limits()
            },
        );
        assert_eq!(reading.ln_e, LN_MAX);
        assert!(reading.stops() && !reading.promotes());
    }
    let evidence = PairedEvidence {
        fleet: counts(1_000_000_000, 0),
        classes: Vec::new(),
    };
    let reading = read(&evidence, &[], limits());
    assert!(reading.ln_e.is_finite() && reading.promotes());
}

#[test]
fn one_failure_counts_as_the_formula_says() {
    let grid = [
        HazardRatio {
            ratio: 2.0,
            weight: 1.0,
        },
        HazardRatio {
            ratio: 8.0,
            weight: 3.0,
        },
    ];
    let mut process = SafeLogrank::new(&grid);
    assert!(process.ln_e().abs() < 1e-12);
    process.failure(true, 3, 9);
    let by_hand = 0.25 * 2.0 / (0.75 + 2.0 * 0.25) + 0.75 * 8.0 / (0.75 + 8.0 * 0.25);
    assert!((process.ln_e().exp() - by_hand).abs() < 1e-12);
    process.failure(false, 2, 9);
    let share = 2.0 / 11.0;
    let by_hand = 0.25 * 2.0 / (0.75 + 2.0 * 0.25) / (1.0 - share + 2.0 * share)
        + 0.75 * 8.0 / (0.75 + 8.0 * 0.25) / (1.0 - share + 8.0 * share);
    assert!((process.ln_e().exp() - by_hand).abs() < 1e-12);
}

#[test]
fn a_failure_is_a_fair_game_and_tells_nothing_without_a_comparison() {
    let grid = [HazardRatio {
        ratio: 4.0,
        weight: 1.0,
    }];
    let after = |on_target, target, control| {
        let mut process = SafeLogrank::new(&grid);
        process.failure(on_target, target, control);
        process.ln_e().exp()
    };
    for (target, control) in [(1, 11), (5, 5), (900, 1)] {
        let share = target as f64 / (target + control) as f64;
        let fair = share * after(true, target, control) + (1.0 - share) * after(false, target, control);
        assert!((fair - 1.0).abs() < 1e-12);
    }
    assert!((after(true, 7, 0) - 1.0).abs() < 1e-12);
    assert!((after(false, 0, 7) - 1.0).abs() < 1e-12);
}

#[test]
fn what_a_stage_rules_out() {
    let percent = [1, 3, 12].map(|devices| (100.0 * rules_out_above(devices, 0.05)).round());
    assert_eq!(percent, [95.0, 63.0, 22.0]);
    assert_eq!(rules_out_above(0, 0.05), 1.0);
}

proptest! {
    /// The table gives the same process as counting, at each failure, every device anew.
    #[test]
    fn risk_sets_are_those_of_a_recount(
        devices in prop::collection::vec((0_u16..2, 0_u64..8, 0_u64..12, 0_u64..20), 1..30),
        mut failures in prop::collection::vec((0_usize..30, 0_u64..24), 0..30),
    ) {
        failures.sort_by_key(|f| f.1);
        failures.retain(|f| f.0 < devices.len());
        let rows: Vec<Assignment> = (0_u8..).zip(&devices).map(|(n, &(class, enrolled_at, wait, run))| {
            let target_at = (wait < 10).then_some(enrolled_at + wait);
            let reverted_at = target_at.filter(|_| run < 10).map(|at| at + run);
            let device = DeviceId([n; 16]);
            Assignment { device, class, stage: 0, enrolled_at, target_at, silent_at: None, reverted_at }
        }).collect();
        let classes = ["a", "b"].map(|name| HardwareId::new(name).unwrap()).to_vec();
        let assignments = Assignments::from_parts(classes, rows.clone(), Vec::new()).unwrap();
        let grid = [HazardRatio { ratio: 3.0, weight: 1.0 }, HazardRatio { ratio: 9.0, weight: 1.0 }];

        let arm = |row: &Assignment, at: u64| match () {
            () if at <= row.enrolled_at || row.reverted_at.is_some_and(|moved| moved < at) => None,
            () => Some(row.target_at.is_some_and(|moved| moved < at)),
        };
        let mut naive = SafeLogrank::new(&grid);
        let mut failed = Vec::new();
        for &(who, at) in &failures {
            let Some(on_target) = arm(&rows[who], at).filter(|_| !failed.contains(&who)) else { continue };
            let at_risk = |side| rows.iter().enumerate().filter(|(i, row)| {
                row.class == rows[who].class && arm(row, at) == Some(side) && !failed.contains(i)
            }).count() as u64;
            naive.failure(on_target, at_risk(true), at_risk(false));
            failed.push(who);
        }
        let (process, target, control) = RiskTable::new(&assignments).read(&assignments, failures.into_iter(), &grid);
        prop_assert!((process.ln_e() - naive.ln_e()).abs() < 1e-9);
        prop_assert_eq!((target + control) as usize, failed.len());
    }
}
