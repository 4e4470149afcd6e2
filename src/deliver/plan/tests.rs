use super::*;
use jiff::SignedDuration;

const POLICY: Policy = Policy {
    initial: Duration::from_secs(1),
    max: Duration::from_secs(900),
    give_up_after: Duration::from_secs(7 * 86_400),
    timeout: Duration::from_secs(15),
};

fn at(seconds: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_secs(seconds)
}

fn plan() -> Plan {
    Plan::new(POLICY, 16, true, Dice::seeded(1))
}

fn queued(seq: i64, key: &str) -> Queued {
    let (id, key, document) = (format!("e{seq}").into(), key.into(), "{}".into());
    Queued { seq, id, key, document, since: at(0), attempts: 0, next: at(0) }
}

fn answered(status: u16, retry_after: Option<&str>) -> Outcome {
    Outcome::Answered { status, retry_after: retry_after.map(str::to_owned), body: String::new() }
}

/// Everything that goes now.
fn now(plan: &mut Plan, seconds: i64) -> Vec<Attempt> {
    std::iter::from_fn(|| plan.next(at(seconds))).collect()
}

#[test]
fn the_next_of_a_key_waits_for_the_one_before_and_other_keys_do_not() {
    let mut plan = plan();
    [(1, "a"), (2, "a"), (3, "b")].into_iter().for_each(|(seq, key)| plan.add(queued(seq, key), at(0)));
    let mut begun = now(&mut plan, 0);
    assert_eq!(begun.iter().map(|attempt| attempt.queued.seq).collect::<Vec<_>>(), [1, 3]);
    let first = begun.remove(0);
    plan.ended(first, &answered(500, None), at(0));
    assert!(now(&mut plan, 0).iter().all(|attempt| attempt.queued.seq != 2), "the first of its key is tried again");
    let again = now(&mut plan, 2).remove(0);
    assert_eq!((again.queued.seq, again.queued.attempts), (1, 1));
    plan.ended(again, &answered(202, None), at(2));
    assert_eq!(now(&mut plan, 2)[0].queued.seq, 2);
}

/// A sink that fails five times, the first time asking for five minutes, and is there again after a minute.
#[test]
fn after_an_outage_nothing_waits_but_for_what_the_sink_asked() {
    let mut plan = plan();
    (1..=6).for_each(|seq| plan.add(queued(seq, &seq.to_string()), at(0)));
    let mut begun = now(&mut plan, 0);
    let probe = begun.pop().unwrap();
    for (attempt, hint) in begun.into_iter().zip([Some("300"), None, None, None, None]) {
        plan.ended(attempt, &answered(500, hint), at(0));
    }
    plan.ended(probe, &answered(202, None), at(0));
    assert!(now(&mut plan, 0).is_empty(), "it fails, and a late answer doesn't change that");
    plan.later.values().for_each(|key| assert_ne!(*key, LaneKey::Key("6".into())));
    let probe = now(&mut plan, 60).remove(0);
    plan.ended(probe, &answered(202, None), at(60));
    let due: Vec<i64> = plan.later.keys().filter(|(due, _)| *due > at(60)).map(|(_, seq)| *seq).collect();
    assert_eq!(due, [1], "the one that it asked to wait for");
    assert_eq!(plan.later.keys().next().unwrap().0, at(300));
}

#[test]
fn a_plan_takes_so_many_and_so_much_and_little_while_the_sink_is_away() {
    let mut plan = plan();
    assert_eq!(plan.room(), Some((AT_A_TIME, LOADED_BYTES)));
    let large = Queued { document: "x".repeat(LOADED_BYTES - 10).into(), ..queued(1, "a") };
    plan.add(large, at(0));
    assert_eq!(plan.room(), Some((AT_A_TIME, 10)));
    let attempt = now(&mut plan, 0).remove(0);
    plan.ended(attempt, &answered(401, None), at(0));
    assert_eq!(plan.room(), Some((LOADED_WHILE_AWAY - 1, 10)));
    let probe = now(&mut plan, 900).remove(0);
    plan.ended(probe, &answered(202, None), at(900));
    assert_eq!(plan.room(), Some((AT_A_TIME, LOADED_BYTES)));
    let mut loaded = 0;
    while plan.room().is_some() {
        loaded += 1;
        plan.add(queued(loaded + 1, &loaded.to_string()), at(900));
    }
    assert_eq!(loaded, i64::try_from(LOADED).unwrap());
}

#[test]
fn an_attempt_that_broke_off_is_made_again_and_was_none() {
    let mut plan = plan();
    plan.add(queued(1, "a"), at(0));
    let attempt = now(&mut plan, 0).remove(0);
    plan.broke_off(attempt, at(0));
    let again = now(&mut plan, 0).remove(0);
    assert_eq!((again.queued.seq, again.queued.attempts), (1, 0));
    plan.ended(again, &answered(202, None), at(0));
    assert_eq!((plan.wake(at(0)), plan.loaded()), (None, 0));
}

#[test]
fn what_comes_while_the_first_of_its_key_is_under_way_waits() {
    let mut plan = plan();
    plan.add(queued(1, "a"), at(0));
    let first = now(&mut plan, 0).remove(0);
    plan.add(queued(2, "a"), at(0));
    assert!(now(&mut plan, 0).is_empty());
    plan.ended(first, &answered(503, None), at(0));
    let again = now(&mut plan, 2).remove(0);
    assert_eq!(again.queued.seq, 1);
}

/// A plan whose sink failed five times, and its first probe.
fn opened() -> (Plan, Attempt) {
    let mut plan = plan();
    (1..=1000).for_each(|seq| plan.add(queued(seq, &seq.to_string()), at(0)));
    let mut begun = now(&mut plan, 0);
    begun.truncate(16);
    begun.into_iter().for_each(|attempt| drop(plan.ended(attempt, &answered(500, None), at(0))));
    let probe = now(&mut plan, 1).remove(0);
    (plan, probe)
}

#[test]
fn a_sink_that_came_back_is_sent_ten_a_second_at_first() {
    let (mut plan, probe) = opened();
    plan.ended(probe, &answered(202, None), at(1));
    let (mut clock, mut begun) = (at(1), 0);
    while let Some(wake) = plan.wake(clock).filter(|wake| *wake < at(2)) {
        clock = clock.max(wake);
        let Some(attempt) = plan.next(clock) else { continue };
        begun += 1;
        plan.ended(attempt, &answered(202, None), clock);
    }
    assert!((12..=16).contains(&begun), "the rate doubles from ten within the second: {begun}");
}

#[test]
fn a_probe_that_is_answered_429_is_followed_by_another() {
    let (mut plan, probe) = opened();
    plan.ended(probe, &answered(429, Some("30")), at(1));
    assert!(now(&mut plan, 30).is_empty());
    assert_eq!((now(&mut plan, 31).len(), plan.breaker.is_closed()), (1, false), "one at a time, as before");
}
