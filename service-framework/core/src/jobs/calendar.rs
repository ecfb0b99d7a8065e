//! When a job runs by itself, as in crontab: minute, hour, day of month, month, day of week; UTC.
//!
//! A field is `*`, numbers, ranges and steps (`1,5-9,20-40/5,*/15`), for months and days of the week also names (`jan`,
//! `mon-fri`); 0 and 7 are Sunday. `@hourly`, `@daily`, `@weekly`, `@monthly`, `@yearly` are short for the usual. If both
//! the day of month and the day of week are said, either will do; a field that begins with `*` says nothing of the sort,
//! and then both must hold.
//!
//! Invariants
//! - What was parsed will come: a date that never is, such as 30 February, is refused.
//!
//! Source: crontab(5) of Vixie cron; POSIX, crontab.

use std::time::Duration;

use lonja_model::Timestamp;

use crate::civil::{Date, weekday};

/// The longest expression that is taken, in bytes.
const MAX_BYTES: usize = 256;

const NANOS_PER_MINUTE: u64 = 60_000_000_000;
const MINUTES_PER_DAY: u64 = 24 * 60;

/// After so many months every combination of date and day of the week has come.
const MONTHS_OF_CYCLE: usize = 400 * 12;

const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// Times that come again and again, whole minutes of UTC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Calendar {
    // Bit n: the number n.
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    // One of the two days will do.
    either_day: bool,
}

/// Why a text is no calendar.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCalendar {
    /// Not five fields.
    #[error("{0} fields, there must be five: minute hour day-of-month month day-of-week")]
    Fields(usize),
    /// A word after `@` that means nothing here.
    #[error("{0:?} is none of @hourly, @daily, @midnight, @weekly, @monthly, @yearly, @annually")]
    Word(String),
    /// One part of a field.
    #[error("{part:?} is wrong for the {field}: {why}")]
    Part {
        /// Which field.
        field: &'static str,
        /// What was given.
        part: String,
        /// What would do.
        why: String,
    },
    /// No such day ever comes.
    #[error("no such day ever comes")]
    Never,
    /// Longer than is taken.
    #[error("the expression has {0} bytes, at most {MAX_BYTES} are taken")]
    TooLong(usize),
}

/// What a field may hold.
struct Field {
    name: &'static str,
    first: u64,
    last: u64,
    names: &'static [&'static str],
}

const FIELDS: [Field; 5] = [
    Field { name: "minute", first: 0, last: 59, names: &[] },
    Field { name: "hour", first: 0, last: 23, names: &[] },
    Field { name: "day of month", first: 1, last: 31, names: &[] },
    Field { name: "month", first: 1, last: 12, names: &MONTHS },
    Field { name: "day of week", first: 0, last: 7, names: &WEEKDAYS },
];

impl Calendar {
    /// What a line of a crontab says of the time. Errors: as the type says, each naming the part.
    pub fn parse(text: &str) -> Result<Self, InvalidCalendar> {
        if text.len() > MAX_BYTES {
            return Err(InvalidCalendar::TooLong(text.len()));
        }
        let text = text.trim().to_ascii_lowercase();
        let text = if text.starts_with('@') { word(&text)? } else { &text };
        let fields: Vec<&str> = text.split_ascii_whitespace().collect();
        let [minute, hour, day, month, weekday] = fields[..] else {
            return Err(InvalidCalendar::Fields(fields.len()));
        };
        let [minutes, hours, days, months, weekdays] = FIELDS;
        let calendar = Self {
            minutes: minutes.parse(minute)?,
            hours: hours.parse(hour)?,
            days: days.parse(day)?,
            months: months.parse(month)?,
            weekdays: sunday_is_0(weekdays.parse(weekday)?),
            either_day: !day.starts_with('*') && !weekday.starts_with('*'),
        };
        calendar.next_after(Timestamp::ZERO).map(|_| calendar).ok_or(InvalidCalendar::Never)
    }

    /// The first time after this one; none: beyond the end of time. O(months until then).
    pub fn next_after(&self, after: Timestamp) -> Option<Timestamp> {
        let minute = after.as_nanos() / NANOS_PER_MINUTE + 1;
        let today = minute / MINUTES_PER_DAY;
        let found = match self.time_from(minute % MINUTES_PER_DAY).filter(|_| self.is_on(today)) {
            Some(time) => today * MINUTES_PER_DAY + time,
            None => self.day_from(today + 1)? * MINUTES_PER_DAY + self.time_from(0)?,
        };
        found.checked_mul(NANOS_PER_MINUTE).map(Timestamp::from_nanos)
    }

    /// The last time after `after` and not after `until`. Looks back from `until`, further each time.
    pub fn last_in(&self, after: Timestamp, until: Timestamp) -> Option<Timestamp> {
        let mut back = Duration::from_secs(3_600);
        loop {
            let from = after.max(until - back);
            let mut times = std::iter::successors(self.next_after(from), |time| self.next_after(*time));
            let mut last = None;
            while let Some(time) = times.next().filter(|time| *time <= until) {
                last = Some(time);
            }
            if last.is_some() || from == after || from == Timestamp::ZERO {
                return last;
            }
            back = back.saturating_mul(24);
        }
    }

    /// The first minute of the day that is meant, from this one on.
    fn time_from(&self, minute: u64) -> Option<u64> {
        let (hour, minute) = (minute / 60, minute % 60);
        if has(self.hours, hour)
            && let Some(minute) = (minute..60).find(|minute| has(self.minutes, *minute))
        {
            return Some(hour * 60 + minute);
        }
        let hour = (hour + 1..24).find(|hour| has(self.hours, *hour))?;
        Some(hour * 60 + u64::from(self.minutes.trailing_zeros()))
    }

    /// The first day that is meant, from this one on.
    fn day_from(&self, day: u64) -> Option<u64> {
        let mut day = day;
        for _ in 0..=MONTHS_OF_CYCLE {
            let date = Date::of_days(day);
            let next_month = date.next_month().days();
            if has(self.months, date.month)
                && let Some(day) = (day..next_month).find(|day| self.is_on(*day))
            {
                return Some(day);
            }
            day = next_month;
        }
        None
    }

    fn is_on(&self, day: u64) -> bool {
        let date = Date::of_days(day);
        let (of_month, of_week) = (has(self.days, date.day), has(self.weekdays, weekday(day)));
        has(self.months, date.month)
            && if self.either_day { of_month || of_week } else { of_month && of_week }
    }
}

impl Field {
    /// The numbers that a list names.
    fn parse(&self, text: &str) -> Result<u64, InvalidCalendar> {
        text.split(',').try_fold(0, |numbers, part| Ok(numbers | self.part(part)?))
    }

    fn part(&self, part: &str) -> Result<u64, InvalidCalendar> {
        let wrong = |why: String| InvalidCalendar::Part { field: self.name, part: part.to_owned(), why };
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, Some(step)),
            None => (part, None),
        };
        let step_by = match step.map(str::parse::<usize>) {
            None => 1,
            Some(Ok(step)) if step > 0 && is_digits(part.rsplit('/').next()) => step,
            Some(_) => return Err(wrong("a step is a whole number above 0".to_owned())),
        };
        let (first, last) = match range.split_once('-') {
            _ if range == "*" => (self.first, self.last),
            Some((first, last)) => (self.number(first, part)?, self.number(last, part)?),
            None => {
                let first = self.number(range, part)?;
                // A number with a step is where the steps begin.
                (first, if step.is_some() { self.last } else { first })
            }
        };
        if first > last {
            return Err(wrong("a range ends where it begins or later".to_owned()));
        }
        Ok((first..=last).step_by(step_by).fold(0, |numbers, number| numbers | 1 << number))
    }

    fn number(&self, text: &str, part: &str) -> Result<u64, InvalidCalendar> {
        let named = self.names.iter().zip(self.first..).find(|(name, _)| **name == text);
        let number = named.map(|(_, number)| number);
        let number = number.or_else(|| text.parse().ok().filter(|_| is_digits(Some(text))));
        number.filter(|number| (self.first..=self.last).contains(number)).ok_or_else(|| {
            let or_name =
                self.names.first().map_or(String::new(), |name| format!(", or a name such as {name}"));
            let why = format!("{text:?} is no number from {} to {}{or_name}", self.first, self.last);
            InvalidCalendar::Part { field: self.name, part: part.to_owned(), why }
        })
    }
}

/// Digits alone: no sign, and no more than can mean anything.
fn is_digits(text: Option<&str>) -> bool {
    text.is_some_and(|text| {
        !text.is_empty() && text.len() <= 4 && text.bytes().all(|byte| byte.is_ascii_digit())
    })
}

fn word(text: &str) -> Result<&'static str, InvalidCalendar> {
    match text {
        "@hourly" => Ok("0 * * * *"),
        "@daily" | "@midnight" => Ok("0 0 * * *"),
        "@weekly" => Ok("0 0 * * 0"),
        "@monthly" => Ok("0 0 1 * *"),
        "@yearly" | "@annually" => Ok("0 0 1 1 *"),
        _ => Err(InvalidCalendar::Word(text.to_owned())),
    }
}

fn sunday_is_0(weekdays: u64) -> u64 {
    (weekdays | weekdays >> 7) & 0x7f
}

fn has(numbers: u64, number: u64) -> bool {
    numbers & 1 << number != 0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A time such as `2024-02-29 12:30`.
    fn at(text: &str) -> Timestamp {
        let numbers: Vec<u64> = text.split(['-', ' ', ':']).map(|one| one.parse().unwrap()).collect();
        let date = Date { year: numbers[0], month: numbers[1], day: numbers[2] };
        Timestamp::from_nanos(
            (date.days() * MINUTES_PER_DAY + numbers[3] * 60 + numbers[4]) * NANOS_PER_MINUTE,
        )
    }

    fn next(cron: &str, after: &str) -> String {
        let minute =
            Calendar::parse(cron).unwrap().next_after(at(after)).unwrap().as_nanos() / NANOS_PER_MINUTE;
        let Date { year, month, day } = Date::of_days(minute / MINUTES_PER_DAY);
        format!("{year}-{month:02}-{day:02} {:02}:{:02}", minute / 60 % 24, minute % 60)
    }

    #[test]
    fn the_next_time_is_the_first_that_all_fields_mean() {
        for (cron, after, expected) in [
            ("* * * * *", "2024-01-01 00:00", "2024-01-01 00:01"),
            ("*/15 * * * *", "2024-01-01 00:45", "2024-01-01 01:00"),
            ("5/20 * * * *", "2024-01-01 00:26", "2024-01-01 00:45"),
            ("0 9-17/4 * * mon-fri", "2024-06-07 17:00", "2024-06-10 09:00"),
            ("30 12 29 2 *", "2024-02-29 12:30", "2028-02-29 12:30"),
            ("0 0 31 * *", "2024-03-31 00:00", "2024-05-31 00:00"),
            ("0 0 * * 7", "2024-06-05 00:00", "2024-06-09 00:00"),
            ("0 0 * * 5-7", "2024-06-08 00:00", "2024-06-09 00:00"),
            ("0 0 1 JAN,Jul *", "2024-01-01 00:00", "2024-07-01 00:00"),
            ("59 23 31 12 *", "2024-12-31 23:59", "2025-12-31 23:59"),
            ("@hourly", "2024-01-01 00:00", "2024-01-01 01:00"),
            ("@weekly", "2024-01-01 00:00", "2024-01-07 00:00"),
            ("@yearly", "2024-01-01 00:00", "2025-01-01 00:00"),
            ("0 0 29 2 *", "2096-02-29 00:00", "2104-02-29 00:00"),
        ] {
            assert_eq!(next(cron, after), expected, "{cron} after {after}");
        }
    }

    #[test]
    fn either_day_will_do_when_both_are_said() {
        // 2024-06-13 is a Thursday.
        assert_eq!(next("0 0 13 * fri", "2024-06-10 00:00"), "2024-06-13 00:00");
        assert_eq!(next("0 0 13 * fri", "2024-06-13 00:00"), "2024-06-14 00:00");
        assert_eq!(next("0 0 */13 * fri", "2024-06-10 00:00"), "2024-06-14 00:00");
        assert_eq!(next("0 0 */13 * fri", "2024-06-14 00:00"), "2024-09-27 00:00");
    }

    #[test]
    fn what_is_no_time_is_refused_with_the_part_that_is_wrong() {
        for (cron, word) in [
            ("", "five"),
            ("* * * *", "five"),
            ("60 * * * *", "minute"),
            ("* 24 * * *", "hour"),
            ("* * 0 * *", "day of month"),
            ("* * * 13 *", "month"),
            ("* * * foo *", "jan"),
            ("* * * * 8", "day of week"),
            ("5-1 * * * *", "range"),
            ("*/0 * * * *", "step"),
            ("*/+5 * * * *", "step"),
            ("+5 * * * *", "minute"),
            ("1,,2 * * * *", "minute"),
            ("1-2-3 * * * *", "minute"),
            ("*/99999999999999999999 * * * *", "step"),
            ("mon * * * *", "minute"),
            ("0 0 30 2 *", "ever"),
            ("@reboot", "@hourly"),
        ] {
            let error = Calendar::parse(cron).unwrap_err().to_string();
            assert!(error.contains(word), "{cron}: {error}");
        }
        assert_eq!(Calendar::parse(&"*".repeat(300)), Err(InvalidCalendar::TooLong(300)));
    }

    #[test]
    fn the_last_time_is_found_however_long_ago_it_was() {
        let last = |cron: &str, after: &str, until: &str| {
            Calendar::parse(cron).unwrap().last_in(at(after), at(until))
        };
        assert_eq!(last("0 0 1 1 *", "2001-01-01 00:00", "2024-06-01 00:00"), Some(at("2024-01-01 00:00")));
        assert_eq!(last("0 0 29 2 *", "1970-01-01 00:00", "2023-06-01 00:00"), Some(at("2020-02-29 00:00")));
        assert_eq!(last("* * * * *", "1970-01-01 00:00", "2024-06-01 00:00"), Some(at("2024-06-01 00:00")));
        assert_eq!(last("0 * * * *", "2024-06-01 00:00", "2024-06-01 00:59"), None);
    }

    fn any_field(first: u64, last: u64) -> impl Strategy<Value = (String, Vec<u64>)> {
        let number = first..=last;
        prop_oneof![
            2 => Just(("*".to_owned(), (first..=last).collect())),
            2 => proptest::collection::btree_set(number.clone(), 1..5).prop_map(|numbers| {
                let text = numbers.iter().map(u64::to_string).collect::<Vec<_>>().join(",");
                (text, numbers.into_iter().collect())
            }),
            1 => (number.clone(), number, 1..20_usize).prop_map(|(one, other, step)| {
                let (one, other) = (one.min(other), one.max(other));
                (format!("{one}-{other}/{step}"), (one..=other).step_by(step).collect())
            }),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

        /// The next time is meant, and no minute before it is, as counting minute by minute says.
        #[test]
        fn the_next_time_is_meant_and_none_is_left_out(
            minute in any_field(0, 59), hour in any_field(0, 23), day in any_field(1, 31), month in any_field(1, 12),
            weekday_field in any_field(0, 6), start in 0..40_000_000_u64,
        ) {
            let cron = format!("{} {} {} {} {}", minute.0, hour.0, day.0, month.0, weekday_field.0);
            let Ok(calendar) = Calendar::parse(&cron) else { return Ok(()) };
            let is_meant = |time: u64| {
                let (days, of_day) = (time / MINUTES_PER_DAY, time % MINUTES_PER_DAY);
                let date = Date::of_days(days);
                let (of_month, of_week) = (day.1.contains(&date.day), weekday_field.1.contains(&weekday(days)));
                let is_day = match (day.0.as_str(), weekday_field.0.as_str()) {
                    ("*", _) | (_, "*") => of_month && of_week,
                    _ => of_month || of_week,
                };
                minute.1.contains(&(of_day % 60)) && hour.1.contains(&(of_day / 60)) && month.1.contains(&date.month) && is_day
            };
            let next = calendar.next_after(Timestamp::from_nanos(start * NANOS_PER_MINUTE)).unwrap();
            let next = next.as_nanos() / NANOS_PER_MINUTE;
            prop_assert!(next > start && is_meant(next), "{}", cron);
            let until = next.min(start + 20_000);
            prop_assert!(!(start + 1..until).any(is_meant), "{} after {}", cron, start);
        }

        /// Nothing that people write makes it fall over.
        #[test]
        fn any_text_is_a_calendar_or_an_error(text in "[-*/,0-9a-z@ ]{0,40}") {
            let _ = Calendar::parse(&text);
        }
    }
}
