//! What is done after an attempt: a pure function of its outcome, the attempts so far, the time and the dice.

use crate::config::written::RetryWritten;
use jiff::Timestamp;
use jiff::fmt::rfc2822;
use std::time::Duration;

/// The longest that a sink's `Retry-After` is obeyed.
pub(super) const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(6 * 3600);
/// What is said of a sink's answer: its first bytes.
const SHOWN: usize = 1024;

/// When to try again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Policy {
    /// The longest wait before the second attempt; it doubles from attempt to attempt.
    pub(super) initial: Duration,
    /// The longest wait.
    pub(super) max: Duration,
    /// After how long an event is given up.
    pub(super) give_up_after: Duration,
    /// Time for one attempt.
    pub(super) timeout: Duration,
}

impl From<RetryWritten> for Policy {
    fn from(written: RetryWritten) -> Self {
        Self {
            initial: written.initial.0,
            max: written.max.0,
            give_up_after: written.give_up_after.0,
            timeout: written.timeout.0,
        }
    }
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The sink answered.
    Answered {
        /// The status.
        status: u16,
        /// `Retry-After`, as it came.
        retry_after: Option<String>,
        /// The beginning of the body.
        body: String,
    },
    /// No answer: no connection, a timeout, a broken one.
    Unanswered(String),
    /// It can't be sent at all: the document is no event.
    Unsendable(String),
}

impl Outcome {
    /// Whether the sink says that it's asked too much: by 429, or by 503 with a time to come again.
    pub(super) fn is_too_much(&self, now: Timestamp) -> bool {
        match self {
            Self::Answered { status: 429, .. } => true,
            Self::Answered { status: 503, retry_after: Some(text), .. } => {
                retry_after(text, now).is_some_and(|wait| wait > Duration::ZERO)
            }
            _ => false,
        }
    }

    /// Whether the sink read the event and refused it for what it is.
    pub(super) fn is_refusal(&self) -> bool {
        matches!(self, Self::Answered { status: 400..=499, .. })
    }
}

/// What is done next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Decision {
    /// The sink has it.
    Delivered,
    /// Try again.
    Retry {
        /// Not before.
        at: Timestamp,
        /// Not before that even if the sink is there again: what it asked for.
        asked: Timestamp,
        /// What went wrong.
        error: String,
    },
    /// The sink refuses everything: keep the event, and probe with one at the longest wait.
    Park {
        /// Not before.
        at: Timestamp,
        /// What went wrong.
        error: String,
    },
    /// Give it up.
    Dead(String),
}

/// Decides after an attempt. `attempts` counts this one; `since` is when the event was accepted; `dice` is from 0 to 1.
pub(super) fn decide(
    outcome: &Outcome,
    attempts: u32,
    since: Timestamp,
    now: Timestamp,
    dice: f64,
    policy: &Policy,
) -> Decision {
    let (error, hint) = match outcome {
        Outcome::Unsendable(problem) => return Decision::Dead(problem.clone()),
        Outcome::Unanswered(error) => (error.clone(), None),
        Outcome::Answered { status: 200..=299, .. } => return Decision::Delivered,
        Outcome::Answered { status, retry_after, body } => {
            let error = said(*status, body);
            match status {
                300..=399 | 401 | 403 | 410 => return Decision::Park { at: after(now, policy.max), error },
                404 | 408 | 409 | 425 | 429 | 500.. => {
                    (error, retry_after.as_deref().and_then(|text| self::retry_after(text, now)))
                }
                _ => return Decision::Dead(error),
            }
        }
    };
    if now.duration_since(since) >= span(policy.give_up_after) {
        return Decision::Dead(format!("given up: {error}"));
    }
    let asked = after(now, hint.unwrap_or_default());
    Decision::Retry { at: after(now, backoff(attempts, dice, policy)).max(asked), asked, error }
}

/// Full jitter: anything between nothing and the smaller of `max` and `initial` · 2ⁿ.
pub(super) fn backoff(attempts: u32, dice: f64, policy: &Policy) -> Duration {
    let doubled = policy.initial.saturating_mul(2_u32.saturating_pow(attempts.saturating_sub(1).min(31)));
    doubled.min(policy.max).mul_f64(dice.clamp(0.0, 1.0))
}

/// Seconds, or a date; what is neither, or past, asks for nothing.
fn retry_after(text: &str, now: Timestamp) -> Option<Duration> {
    let text = text.trim();
    let wait = if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        Duration::from_secs(text.parse().unwrap_or(u64::MAX))
    } else {
        let at = rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
        Duration::try_from(at.duration_since(now)).ok()?
    };
    Some(wait.min(LONGEST_RETRY_AFTER))
}

/// A time from now, or the last there is.
pub(super) fn after(now: Timestamp, wait: Duration) -> Timestamp {
    now.saturating_add(span(wait)).unwrap_or(Timestamp::MAX)
}

fn span(duration: Duration) -> jiff::SignedDuration {
    jiff::SignedDuration::try_from(duration).unwrap_or(jiff::SignedDuration::MAX)
}

fn said(status: u16, body: &str) -> String {
    let shown: String = body.chars().filter(|c| !c.is_control()).take(SHOWN).collect();
    if shown.is_empty() {
        format!("the sink answered {status}")
    } else {
        format!("the sink answered {status}: {shown}")
    }
}

#[cfg(test)]
mod tests {
    use super::super::dice::Dice;
    use super::*;
    use proptest::prelude::*;

    const POLICY: Policy = Policy {
        initial: Duration::from_secs(1),
        max: Duration::from_secs(900),
        give_up_after: Duration::from_secs(7 * 86_400),
        timeout: Duration::from_secs(15),
    };

    fn now() -> Timestamp {
        "2026-11-23T12:00:00Z".parse().unwrap()
    }

    fn answered(status: u16, retry_after: Option<&str>) -> Outcome {
        Outcome::Answered { status, retry_after: retry_after.map(str::to_owned), body: String::new() }
    }

    fn after_first(outcome: &Outcome) -> Decision {
        decide(outcome, 1, now(), now(), 1.0, &POLICY)
    }

    #[test]
    fn every_status_is_decided_as_the_table_says() {
        for status in 100..=599 {
            let decision = after_first(&answered(status, None));
            let right = match status {
                200..=299 => matches!(decision, Decision::Delivered),
                300..=399 | 401 | 403 | 410 => matches!(decision, Decision::Park { .. }),
                404 | 408 | 409 | 425 | 429 | 500..=599 => matches!(decision, Decision::Retry { .. }),
                _ => matches!(decision, Decision::Dead(_)),
            };
            assert!(right, "{status}: {decision:?}");
        }
        assert!(matches!(after_first(&Outcome::Unanswered("refused".into())), Decision::Retry { .. }));
    }

    #[test]
    fn retry_after_is_never_undercut_and_never_obeyed_for_more_than_six_hours() {
        const SIX_HOURS: f64 = 6.0 * 3600.0;
        let hints = [
            ("120", 120.0),
            (" 7 ", 7.0),
            ("2678400", SIX_HOURS),
            ("99999999999999999999999", SIX_HOURS),
            ("Mon, 23 Nov 2026 12:05:00 GMT", 300.0),
            ("Thu, 24 Dec 2026 12:00:00 GMT", SIX_HOURS),
            // What asks for nothing leaves the schedule as it is.
            ("0", 0.0),
            ("soon", 0.0),
            ("", 0.0),
            ("-5", 0.0),
            ("1.5", 0.0),
            ("Mon, 23 Nov 2020 12:00:00 GMT", 0.0),
            ("Mon, 99 Nov 2026 12:00:00 GMT", 0.0),
        ];
        for status in [408, 425, 429, 500, 503] {
            for (text, asked) in hints {
                for (attempts, dice) in [(1, 0.0), (1, 1.0), (9, 0.25), (40, 1.0)] {
                    let decision = decide(&answered(status, Some(text)), attempts, now(), now(), dice, &POLICY);
                    let Decision::Retry { at, .. } = decision else { panic!("{decision:?}") };
                    let schedule = backoff(attempts, dice, &POLICY).as_secs_f64();
                    let waits = at.duration_since(now()).as_secs_f64();
                    assert!(
                        (waits - schedule.max(asked)).abs() < 1e-6,
                        "{status} `{text}`, attempt {attempts}: {waits}"
                    );
                }
            }
        }
    }

    #[test]
    fn ten_thousand_schedules_keep_their_bounds_and_none_is_a_tight_loop() {
        let (mut first_minute, mut sum, mut waits) = (0, 0.0, 0);
        for seed in 0..10_000 {
            let (mut dice, mut passed) = (Dice::seeded(seed), 0.0);
            for attempts in 1..=20 {
                let Decision::Retry { at, .. } =
                    decide(&answered(500, None), attempts, now(), now(), dice.roll(), &POLICY)
                else {
                    panic!("it's tried again")
                };
                let wait = at.duration_since(now()).as_secs_f64();
                let bound = 2_f64.powi(i32::try_from(attempts).unwrap() - 1).min(900.0);
                assert!((0.0..=bound).contains(&wait), "seed {seed}, attempt {attempts}: {wait}");
                (passed, sum, waits) = (passed + wait, sum + wait / bound, waits + 1);
                if passed < 60.0 {
                    first_minute = first_minute.max(attempts);
                }
            }
        }
        let mean = sum / f64::from(waits);
        assert!((mean - 0.5).abs() < 0.01, "full jitter is half in the mean: {mean}");
        assert!(first_minute <= 12, "{first_minute} attempts in the first minute");
    }

    #[test]
    fn a_week_of_failures_is_a_thousand_attempts_and_then_it_is_given_up() {
        for seed in 0..100 {
            let (mut dice, mut at, mut attempts) = (Dice::seeded(seed), now(), 0);
            loop {
                attempts += 1;
                match decide(&answered(500, None), attempts, now(), at, dice.roll(), &POLICY) {
                    Decision::Retry { at: next, .. } => at = next,
                    Decision::Dead(_) => break,
                    other => panic!("{other:?}"),
                }
            }
            let days = at.duration_since(now()).as_secs_f64() / 86_400.0;
            assert!((7.0..7.02).contains(&days), "seed {seed}: {days} days");
            assert!((672..2000).contains(&attempts), "seed {seed}: {attempts} attempts");
        }
    }

    #[test]
    fn what_is_too_old_is_given_up_and_says_why() {
        let old = "2026-11-16T12:00:00Z".parse().unwrap();
        let decision = decide(&answered(503, None), 40, old, now(), 0.5, &POLICY);
        assert!(matches!(decision, Decision::Dead(reason) if reason.contains("503")));
    }

    proptest! {
        #[test]
        fn waits_are_within_the_schedule_and_not_cut_to_whole_seconds(attempts in 1_u32..200, dice in 0.0_f64..1.0) {
            let wait = backoff(attempts, dice, &POLICY);
            let bound = POLICY.initial.saturating_mul(2_u32.saturating_pow((attempts - 1).min(31))).min(POLICY.max);
            prop_assert!(wait <= bound);
            prop_assert!(dice < 0.01 || wait > Duration::ZERO);
            prop_assert!((wait.as_secs_f64() - bound.as_secs_f64() * dice).abs() < 1e-6);
        }
    }
}
