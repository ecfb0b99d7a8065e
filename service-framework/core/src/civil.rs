//! Days and dates, UTC, from 1970 on.
//!
//! Source: H. Hinnant, "chrono-Compatible Low-Level Date Algorithms": years that begin in March, in cycles of 400.

/// A date of the Gregorian calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Date {
    /// From 1970.
    pub(crate) year: u64,
    /// 1 to 12.
    pub(crate) month: u64,
    /// 1 to 31.
    pub(crate) day: u64,
}

const DAYS_OF_CYCLE: u64 = 146_097;
const DAYS_TO_1970: u64 = 719_468;

impl Date {
    /// The date so many days after 1970-01-01.
    pub(crate) fn of_days(days: u64) -> Self {
        let days = days + DAYS_TO_1970;
        let (cycle, day) = (days / DAYS_OF_CYCLE, days % DAYS_OF_CYCLE);
        let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
        let day = day - (365 * year + year / 4 - year / 100);
        let march_month = (5 * day + 2) / 153;
        let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
        let is_after_december = u64::from(month <= 2);
        Self {
            year: cycle * 400 + year + is_after_december,
            month,
            day: day - (153 * march_month + 2) / 5 + 1,
        }
    }

    /// How many days after 1970-01-01 it is.
    pub(crate) fn days(self) -> u64 {
        let year = if self.month <= 2 { self.year - 1 } else { self.year };
        let (cycle, year) = (year / 400, year % 400);
        let march_month = if self.month > 2 { self.month - 3 } else { self.month + 9 };
        let day = (153 * march_month + 2) / 5 + self.day - 1;
        cycle * DAYS_OF_CYCLE + year * 365 + year / 4 - year / 100 + day - DAYS_TO_1970
    }

    /// The first of the next month.
    pub(crate) fn next_month(self) -> Self {
        if self.month == 12 {
            Self { year: self.year + 1, month: 1, day: 1 }
        } else {
            Self { month: self.month + 1, day: 1, ..self }
        }
    }
}

/// The day of the week, 0 for Sunday, of the day so many days after 1970-01-01.
pub(crate) fn weekday(days: u64) -> u64 {
    (days + 4) % 7
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn date(year: u64, month: u64, day: u64) -> Date {
        Date { year, month, day }
    }

    fn days_of_month(date: Date) -> u64 {
        date.next_month().days() - Date { day: 1, ..date }.days()
    }

    #[test]
    fn known_days_have_known_dates() {
        for (days, expected, week) in [
            (0, date(1970, 1, 1), 4),
            (59, date(1970, 3, 1), 0),
            (11_016, date(2000, 2, 29), 2),
            (19_782, date(2024, 2, 29), 4),
            (47_541, date(2100, 3, 1), 1),
        ] {
            assert_eq!((Date::of_days(days), expected.days(), weekday(days)), (expected, days, week));
        }
        assert_eq!((days_of_month(date(2100, 2, 1)), days_of_month(date(2000, 2, 1))), (28, 29));
    }

    proptest! {
        /// Each day has one date, and the next day the next.
        #[test]
        fn days_and_dates_agree(days in 0..300_000_u64) {
            let (today, tomorrow) = (Date::of_days(days), Date::of_days(days + 1));
            prop_assert_eq!(today.days(), days);
            prop_assert!((1..=12).contains(&today.month) && (1..=days_of_month(today)).contains(&today.day));
            let expected = if today.day == days_of_month(today) {
                today.next_month()
            } else {
                Date { day: today.day + 1, ..today }
            };
            prop_assert_eq!(tomorrow, expected);
        }
    }
}
