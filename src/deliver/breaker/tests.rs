use super::*;
use jiff::SignedDuration;
use proptest::prelude::*;

const POLICY: Policy = Policy {
    initial: Duration::from_secs(1),
    max: Duration::from_secs(900),
    give_up_after: Duration::from_secs(7 * 86_400),
    timeout: Duration::from_secs(15),
};

fn at(seconds: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_secs(seconds)
}

fn opened() -> Breaker {
    let mut breaker = Breaker::new(&POLICY);
    for n in 1..=IN_A_ROW {
        let pass = breaker.begin();
        let change = breaker.failed(pass, at(0), at(0), 1.0);
        assert_eq!(change, (n == IN_A_ROW).then_some(Change::Opened));
    }
    breaker
}

#[test]
fn failures_in_a_row_open_it_and_one_probe_goes_when_it_is_time() {
    let mut breaker = opened();
    assert_eq!(breaker.next(), Some(at(1)));
    let probe = breaker.begin();
    assert_eq!(breaker.next(), None, "one is under way");
    assert_eq!(breaker.failed(probe, at(2), at(0), 1.0), None, "that's no news");
    assert_eq!(breaker.next(), Some(at(4)));
    let probe = breaker.begin();
    assert_eq!(breaker.succeeded(probe, at(5)), Some(Change::Closed));
    assert!(breaker.is_closed());
}

#[test]
fn probes_come_at_growing_intervals_up_to_a_minute_and_never_sooner_than_asked() {
    let mut breaker = opened();
    let mut waits = Vec::new();
    for _ in 0..9 {
        let probe = breaker.begin();
        breaker.failed(probe, at(0), at(0), 1.0);
        waits.push(breaker.next().unwrap().as_second());
    }
    assert_eq!(waits, [2, 4, 8, 16, 32, 60, 60, 60, 60]);
    let probe = breaker.begin();
    breaker.failed(probe, at(0), at(300), 0.0);
    assert_eq!(breaker.next(), Some(at(300)));
}

#[test]
fn half_of_many_failing_opens_it_though_never_five_in_a_row() {
    let mut breaker = Breaker::new(&POLICY);
    for n in 0..ENOUGH / 2 - 1 {
        let second = i64::from(n);
        assert_eq!(breaker.succeeded(Pass(0), at(second)), None);
        assert_eq!(breaker.failed(Pass(0), at(second), at(0), 1.0), None);
    }
    assert_eq!(breaker.succeeded(Pass(0), at(10)), None);
    assert_eq!(breaker.failed(Pass(0), at(10), at(0), 1.0), Some(Change::Opened));
}

#[test]
fn failures_of_long_ago_do_not_count() {
    let mut breaker = Breaker::new(&POLICY);
    for n in 0..1000 {
        let second = n * 4;
        breaker.failed(Pass(0), at(second), at(0), 1.0);
        breaker.succeeded(Pass(0), at(second));
        assert!(breaker.is_closed(), "fifteen within half a minute aren't many");
    }
}

#[test]
fn too_many_requests_neither_opens_nor_closes_it() {
    let mut closed = Breaker::new(&POLICY);
    for _ in 0..1000 {
        let pass = closed.begin();
        closed.put_off(pass, at(0), at(10), 1.0);
    }
    assert!(closed.is_closed());
    let mut open = opened();
    let probe = open.begin();
    open.put_off(probe, at(2), at(30), 1.0);
    assert_eq!((open.is_closed(), open.next()), (false, Some(at(30))));
    let probe = open.begin();
    open.failed(probe, at(30), at(0), 1.0);
    assert_eq!(open.next(), Some(at(32)), "it made the interval no longer");
}

#[test]
fn what_was_under_way_when_it_opened_decides_nothing() {
    let mut breaker = Breaker::new(&POLICY);
    let late = breaker.begin();
    for _ in 0..IN_A_ROW {
        breaker.failed(late, at(0), at(0), 1.0);
    }
    let before = breaker.next();
    assert_eq!(breaker.succeeded(late, at(1)), None);
    assert_eq!(breaker.failed(late, at(1), at(100), 1.0), None);
    assert_eq!(breaker.park(late, at(100)), None);
    assert_eq!(breaker.next(), before);
    let probe = breaker.begin();
    assert_eq!(breaker.succeeded(late, at(1)), None);
    assert_eq!(breaker.next(), None, "the probe is still under way");
    assert_eq!(breaker.succeeded(probe, at(1)), Some(Change::Closed));
}

#[test]
fn parking_is_news_once_and_ends_with_the_first_success() {
    let mut breaker = Breaker::new(&POLICY);
    let pass = breaker.begin();
    assert_eq!(breaker.park(pass, at(900)), Some(Change::Parked));
    let probe = breaker.begin();
    assert_eq!(breaker.park(probe, at(1800)), None);
    let probe = breaker.begin();
    assert_eq!(breaker.succeeded(probe, at(1801)), Some(Change::Closed));
    let pass = breaker.begin();
    assert_eq!(breaker.park(pass, at(2700)), Some(Change::Parked));
}

#[test]
fn a_probe_that_tells_nothing_is_replaced_at_once() {
    let mut breaker = opened();
    let probe = breaker.begin();
    breaker.withdraw(probe);
    assert!(breaker.next().is_some_and(|next| next <= at(0)));
    let pass = breaker.begin();
    breaker.withdraw(pass);
    let mut closed = Breaker::new(&POLICY);
    let pass = closed.begin();
    closed.withdraw(pass);
    assert!(closed.is_closed());
}

proptest! {
    /// Whatever comes, in whatever order: while it isn't closed, at most one attempt that counts is under way, and none begins
    /// before its time.
    #[test]
    fn there_is_one_probe_at_most(steps in proptest::collection::vec((0_u8..6, 0_usize..64, 0_i64..40, 0.0_f64..1.0), 1..400)) {
        let mut breaker = Breaker::new(&POLICY);
        let (mut now, mut under_way, mut probes) = (at(0), Vec::new(), Vec::new());
        for (step, which, seconds, dice) in steps {
            now += SignedDuration::from_secs(seconds);
            let ended = (!under_way.is_empty()).then(|| under_way.swap_remove(which % under_way.len()));
            match (step, ended) {
                (0 | 1, ended) => {
                    under_way.extend(ended);
                    let closed = breaker.is_closed();
                    if breaker.next().is_some_and(|next| next <= now) {
                        let pass = breaker.begin();
                        under_way.push(pass);
                        if !closed {
                            probes.push(pass);
                        }
                    }
                }
                (_, None) => {}
                (2, Some(pass)) => drop(breaker.succeeded(pass, now)),
                (3, Some(pass)) => drop(breaker.failed(pass, now, now, dice)),
                (4, Some(pass)) => breaker.put_off(pass, now, now, dice),
                (_, Some(pass)) => drop(breaker.park(pass, after(now, POLICY.max))),
            }
            probes.retain(|probe| under_way.contains(probe));
            prop_assert!(probes.len() <= 1, "{probes:?}");
            prop_assert_eq!(breaker.next().is_none(), probes.len() == 1);
            if let (false, Some(next)) = (breaker.is_closed(), breaker.next()) {
                prop_assert!(next <= after(now, POLICY.max), "it's tried again within the longest interval");
            }
        }
    }
}
