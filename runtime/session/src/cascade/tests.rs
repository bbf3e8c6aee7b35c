//! The machine under a clock that the tests turn.

use super::breaker::{BreakerConfig, BreakerState};
use super::budget::RetryBudget;
use super::cache::{Cache, CacheConfig, Key};
use super::machine::*;
use super::{CascadeHost, SystemHost};
use std::time::Duration;

const KEY: Key = [1; 32];

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn config() -> CascadeConfig {
    CascadeConfig {
        threshold: 0.5,
        deadline: ms(1000),
        attempt_timeout: ms(400),
        max_attempts: 3,
        backoff_base: ms(100),
        backoff_cap: ms(300),
        retry_budget: RetryBudget {
            per_request: 0.0,
            capacity: 100.0,
        },
        breaker: BreakerConfig {
            window: 4,
            min_attempts: 4,
            failure_share: 0.75,
            open_for: ms(5000),
            probes: 1,
        },
        cache: CacheConfig {
            entries: 2,
            fresh_for: ms(100),
            stale_for: ms(60_000),
        },
    }
}

fn sent<T: std::fmt::Debug>(step: Step<T>) -> (Ticket<T>, Duration) {
    match step {
        Step::Send { ticket, timeout } => (ticket, timeout),
        other => panic!("not sent: {other:?}"),
    }
}

fn waiting<T: std::fmt::Debug>(step: Step<T>) -> (Ticket<T>, Duration) {
    match step {
        Step::Wait { ticket, until } => (ticket, until),
        other => panic!("not waiting: {other:?}"),
    }
}

fn done<T: std::fmt::Debug>(step: Step<T>) -> (T, Source, Option<Degraded>) {
    match step {
        Step::Done(Verdict {
            answer,
            source,
            degraded,
        }) => (answer, source, degraded),
        other => panic!("not done: {other:?}"),
    }
}

#[test]
fn sure_answers_stay() {
    let mut cascade = Cascade::new(config());
    assert_eq!(
        done(cascade.begin(ms(0), KEY, "local", 0.5)),
        ("local", Source::Device, None)
    );
    sent(cascade.begin(ms(0), KEY, "local", f32::NAN));
}

#[test]
fn the_cloud_answers_and_is_remembered() {
    let mut cascade = Cascade::new(config());
    let (ticket, timeout) = sent(cascade.begin(ms(0), KEY, "local", 0.1));
    assert_eq!(timeout, ms(400));
    assert_eq!(
        done(cascade.reply(ms(10), ticket, Ok("cloud"), 0.5)),
        ("cloud", Source::Cloud, None)
    );
    assert_eq!(
        done(cascade.begin(ms(50), KEY, "local", 0.1)),
        ("cloud", Source::Cache, None)
    );
    // No longer fresh: asked again; refused: the old answer is better than the local one.
    let (ticket, _) = sent(cascade.begin(ms(200), KEY, "local", 0.1));
    let refused = cascade.reply(ms(210), ticket, Err(CloudError::Rejected("no".into())), 0.5);
    assert_eq!(done(refused), ("cloud", Source::Cache, Some(Degraded::Rejected)));
}

#[test]
fn retries_wait_longer_each_time_and_end() {
    let mut cascade = Cascade::new(config());
    let (ticket, _) = sent(cascade.begin(ms(0), KEY, "local", 0.1));
    let (ticket, until) = waiting(cascade.reply(ms(10), ticket, Err(CloudError::Timeout), 0.5));
    assert_eq!(until, ms(10 + 50), "half of the first bound");
    let (ticket, _) = sent(cascade.resume(until, ticket));
    let (ticket, until) = waiting(cascade.reply(ms(70), ticket, Err(CloudError::Timeout), 1.0));
    assert_eq!(until, ms(70 + 200), "all of the second bound");
    let (ticket, _) = sent(cascade.resume(until, ticket));
    let last = cascade.reply(ms(300), ticket, Err(CloudError::Timeout), 1.0);
    assert_eq!(done(last), ("local", Source::Device, Some(Degraded::Attempts)));
    assert_eq!(cascade.counters().retries, 2);
}

#[test]
fn a_deadline_is_kept() {
    let mut cascade = Cascade::new(config());
    let (ticket, _) = sent(cascade.begin(ms(0), KEY, "local", 0.1));
    let late = cascade.reply(ms(950), ticket, Err(CloudError::Timeout), 0.9);
    assert_eq!(done(late).2, Some(Degraded::Deadline));
    let (ticket, _) = sent(cascade.begin(ms(0), KEY, "local", 0.1));
    let asked = CloudError::Overloaded {
        retry_after: Some(ms(2000)),
    };
    assert_eq!(
        done(cascade.reply(ms(10), ticket, Err(asked), 0.0)).2,
        Some(Degraded::Deadline)
    );
    let (ticket, _) = sent(cascade.begin(ms(0), KEY, "local", 0.1));
    let (ticket, until) = waiting(cascade.reply(ms(850), ticket, Err(CloudError::Timeout), 0.0));
    let (_, timeout) = sent(cascade.resume(until, ticket));
    assert_eq!(timeout, ms(150), "what is left");
}

#[test]
fn retries_draw_on_a_budget() {
    let budget = RetryBudget {
        per_request: 0.5,
        capacity: 1.0,
    };
    let breaker = BreakerConfig {
        failure_share: 2.0,
        ..config().breaker
    };
    let mut cascade = Cascade::new(CascadeConfig {
        retry_budget: budget,
        breaker,
        ..config()
    });
    let mut reasons = Vec::new();
    for _ in 0..4 {
        let mut step = cascade.begin(ms(0), KEY, "local", 0.1);
        loop {
            step = match step {
                Step::Send { ticket, .. } => cascade.reply(ms(0), ticket, Err(CloudError::Timeout), 0.0),
                Step::Wait { ticket, .. } => cascade.resume(ms(0), ticket),
                Step::Done(verdict) => break reasons.push(verdict.degraded),
            }
        }
    }
    assert_eq!(reasons, [Some(Degraded::Budget); 4]);
    assert_eq!(
        cascade.counters().retries,
        2,
        "one saved up, then one for two questions"
    );
}

#[test]
fn a_breaker_opens_probes_and_closes() {
    let mut cascade = Cascade::new(CascadeConfig {
        max_attempts: 1,
        ..config()
    });
    let fail = || Err(CloudError::Server("500".into()));
    for i in 0..4 {
        let (ticket, _) = sent(cascade.begin(ms(i), KEY, "local", 0.1));
        assert_eq!(
            done(cascade.reply(ms(i), ticket, fail(), 0.5)).2,
            Some(Degraded::Attempts)
        );
    }
    assert_eq!(cascade.breaker(ms(4)), BreakerState::Open);
    assert_eq!(
        done(cascade.begin(ms(4), KEY, "local", 0.1)).2,
        Some(Degraded::BreakerOpen)
    );
    // One probe at a time; a failed one opens it again.
    let (probe, _) = sent(cascade.begin(ms(5100), KEY, "local", 0.1));
    assert_eq!(
        done(cascade.begin(ms(5101), KEY, "local", 0.1)).2,
        Some(Degraded::BreakerOpen)
    );
    done(cascade.reply(ms(5102), probe, fail(), 0.5));
    assert_eq!(cascade.breaker(ms(5103)), BreakerState::Open);
    // A probe that never comes back frees its slot; a good one closes the breaker.
    let (_lost, _) = sent(cascade.begin(ms(11_000), KEY, "local", 0.1));
    let (probe, _) = sent(cascade.begin(ms(12_000), KEY, "local", 0.1));
    done(cascade.reply(ms(12_001), probe, Ok("cloud"), 0.5));
    assert_eq!(cascade.breaker(ms(12_002)), BreakerState::Closed);
    assert_eq!(cascade.counters().breaker_opened, 2);
}

#[test]
fn the_cache_is_bounded_and_keeps_what_is_used() {
    let mut cache = Cache::new(CacheConfig {
        entries: 2,
        fresh_for: ms(100),
        stale_for: ms(1000),
    });
    let key = |n: u8| [n; 32];
    cache.store(key(1), ms(0), 1);
    cache.store(key(2), ms(0), 2);
    assert_eq!(cache.fresh(&key(1), ms(50)), Some(1));
    cache.store(key(3), ms(50), 3);
    assert_eq!((cache.len(), cache.fresh(&key(2), ms(50))), (2, None));
    assert_eq!(
        (cache.fresh(&key(1), ms(100)), cache.stale(&key(1), ms(100))),
        (None, Some(1))
    );
    assert_eq!(cache.stale(&key(1), ms(1000)), None);
}

#[test]
fn jitter_is_uniform_enough() {
    let mut host = SystemHost::new(7);
    let draws: Vec<f64> = (0..10_000).map(|_| host.random()).collect();
    assert!(draws.iter().all(|x| (0.0..1.0).contains(x)));
    let mean = draws.iter().sum::<f64>() / draws.len() as f64;
    assert!((mean - 0.5).abs() < 0.02, "{mean}");
}
