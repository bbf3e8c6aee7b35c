//! Time as TUF writes it: RFC 3339 in UTC, to the second (`2026-11-22T14:03:28Z`).

use core::fmt;

/// Seconds since the Unix epoch, without leap seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixTime(pub u64);

const DAY: u64 = 86_400;
/// The last second that four digits of year can name.
const LAST: u64 = 253_402_300_799;

impl UnixTime {
    /// Reads `YYYY-MM-DDTHH:MM:SSZ` (TUF 1.0, 4.2 "expires"). No other form, no fraction, no leap second, no
    /// year before 1970: one moment has one spelling.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let b = text.as_bytes();
        let shape = b.len() == 20
            && b.iter().enumerate().all(|(i, c)| match i {
                4 | 7 => *c == b'-',
                10 => *c == b'T',
                13 | 16 => *c == b':',
                19 => *c == b'Z',
                _ => c.is_ascii_digit(),
            });
        if !shape {
            return None;
        }
        let number =
            |from: usize, to: usize| b[from..to].iter().fold(0u64, |n, c| n * 10 + u64::from(c - b'0'));
        let (year, month, day) = (number(0, 4), number(5, 7), number(8, 10));
        let (hour, minute, second) = (number(11, 13), number(14, 16), number(17, 19));
        let valid = year >= 1970
            && (1..=12).contains(&month)
            && (1..=days_in_month(year, month)).contains(&day)
            && hour < 24
            && minute < 60
            && second < 60;
        valid.then(|| Self(days_from_civil(year, month, day) * DAY + hour * 3600 + minute * 60 + second))
    }

    /// This time plus `seconds`, at most the end of the year 9999.
    #[must_use]
    pub fn plus(self, seconds: u64) -> Self {
        Self(self.0.saturating_add(seconds).min(LAST))
    }
}

impl fmt::Display for UnixTime {
    /// The form that [`UnixTime::parse`] reads; times past the year 9999 print as its last second.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = self.0.min(LAST);
        let (year, month, day) = civil_from_days(time / DAY);
        let rest = time % DAY;
        let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z"
        )
    }
}

fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

fn days_in_month(year: u64, month: u64) -> u64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01, by Howard Hinnant's `days_from_civil` for years from 1970 on.
fn days_from_civil(year: u64, month: u64, day: u64) -> u64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year / 400, year % 400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// The inverse of [`days_from_civil`].
fn civil_from_days(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn table() {
        for (text, seconds) in [
            ("1970-01-01T00:00:00Z", 0),
            ("1972-02-29T23:59:59Z", 68_255_999),
            ("2000-02-29T12:00:00Z", 951_825_600),
            ("2026-11-22T14:03:28Z", 1_795_356_208),
            ("2100-03-01T00:00:00Z", 4_107_542_400),
            ("9999-12-31T23:59:59Z", LAST),
        ] {
            assert_eq!(UnixTime::parse(text), Some(UnixTime(seconds)), "{text}");
            assert_eq!(UnixTime(seconds).to_string(), text);
        }
        for text in [
            "",
            "2026-11-22T14:03:28",
            "2026-11-22T14:03:28z",
            "2026-11-22 14:03:28Z",
            "2026-11-22T14:03:28.5Z",
            "2026-11-22T14:03:28+00:00",
            "2026-13-01T00:00:00Z",
            "2026-00-01T00:00:00Z",
            "2026-02-29T00:00:00Z",
            "2100-02-29T00:00:00Z",
            "2026-04-31T00:00:00Z",
            "2026-01-00T00:00:00Z",
            "2026-01-01T24:00:00Z",
            "2026-01-01T00:60:00Z",
            "2026-12-31T23:59:60Z",
            "1969-12-31T23:59:59Z",
            "+026-01-01T00:00:00Z",
            "２026-01-01T00:00Z",
        ] {
            assert_eq!(UnixTime::parse(text), None, "{text}");
        }
    }

    #[test]
    fn every_day_for_a_thousand_years_round_trips() {
        for day in 0..366_000 {
            let time = UnixTime(day * DAY + day % DAY);
            assert_eq!(UnixTime::parse(&time.to_string()), Some(time));
        }
    }
}
