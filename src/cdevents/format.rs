//! The formats that strings must have: RFC 3339 timestamps, RFC 3986 URIs, and the names of custom events.

use super::vocabulary::Format;
use super::{custom_subject, is_custom_subject};
use fluent_uri::{Uri, UriRef};

/// Whether `text` has the format.
pub(super) fn fits(format: Format, text: &str) -> bool {
    match format {
        Format::DateTime => is_date_time(text.as_bytes()).is_some(),
        Format::Uri => Uri::parse(text).is_ok(),
        Format::UriReference => UriRef::parse(text).is_ok(),
        Format::CustomType => custom_subject(text).is_some(),
        Format::CustomSubject => is_custom_subject(text),
    }
}

/// What to say when it hasn't.
pub(super) const fn explained(format: Format) -> &'static str {
    match format {
        Format::DateTime => {
            "must be an RFC 3339 timestamp with its offset from UTC, such as `2026-01-31T09:30:00Z` or `…+02:00`"
        }
        Format::Uri => "must be a URI with a scheme (RFC 3986), such as `https://example.com/a%20b`",
        Format::UriReference => {
            "must be a URI or a path (RFC 3986), such as `https://example.com/a%20b` or `/a/b`: \
             spaces and other special characters are percent-encoded"
        }
        Format::CustomType => {
            "must be `dev.cdeventsx.<tool>-<subject>.<predicate>.<version>`, the version being three digits, \
             such as `dev.cdeventsx.mytool-resource.created.0.1.0`"
        }
        Format::CustomSubject => "must be the `<tool>-<subject>` of the type",
    }
}

/// RFC 3339 `date-time`: letters in either case, any number of fraction digits, a 60th second only at 23:59 UTC.
fn is_date_time(text: &[u8]) -> Option<()> {
    let (date, time) = text.split_at_checked(11)?;
    let [y1, y2, y3, y4, b'-', mo1, mo2, b'-', d1, d2, b'T' | b't'] = date else { return None };
    let year = number(&[*y1, *y2, *y3, *y4])?;
    let month = number(&[*mo1, *mo2])?;
    let day = number(&[*d1, *d2])?;
    if !(1..=days_of(year, month)?).contains(&day) {
        return None;
    }
    let (clock, rest) = time.split_at_checked(8)?;
    let [h1, h2, b':', m1, m2, b':', s1, s2] = clock else { return None };
    let (hour, minute, second) = (number(&[*h1, *h2])?, number(&[*m1, *m2])?, number(&[*s1, *s2])?);
    let offset = offset_minutes(after_fraction(rest)?)?;
    let of_day = (i32::from(hour) * 60 + i32::from(minute) - offset).rem_euclid(24 * 60);
    let leap_fits = second < 60 || of_day == 24 * 60 - 1;
    (hour < 24 && minute < 60 && second <= 60 && leap_fits).then_some(())
}

fn days_of(year: u16, month: u16) -> Option<u16> {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => Some(31),
        4 | 6 | 9 | 11 => Some(30),
        2 => Some(if leap { 29 } else { 28 }),
        _ => None,
    }
}

/// What follows `.digits`, or everything when there is no fraction.
fn after_fraction(text: &[u8]) -> Option<&[u8]> {
    let Some(fraction) = text.strip_prefix(b".") else { return Some(text) };
    let digits = fraction.iter().take_while(|b| b.is_ascii_digit()).count();
    (digits > 0).then(|| &fraction[digits..])
}

/// `Z` or `±hh:mm`, in minutes east of UTC.
fn offset_minutes(text: &[u8]) -> Option<i32> {
    match text {
        [b'Z' | b'z'] => Some(0),
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let (hours, minutes) = (number(&[*h1, *h2])?, number(&[*m1, *m2])?);
            let east = i32::from(hours) * 60 + i32::from(minutes);
            (hours < 24 && minutes < 60).then_some(if *sign == b'+' { east } else { -east })
        }
        _ => None,
    }
}

fn number(digits: &[u8]) -> Option<u16> {
    digits.iter().try_fold(0, |n: u16, d| d.is_ascii_digit().then(|| n * 10 + u16::from(d - b'0')))
}
