//! A version as people write it: the time in UTC, to the millisecond.

use crate::civil::Date;
use crate::definition::Version;

/// Such as `2015-09-30T09:09:17.614Z`.
pub(super) fn shown(version: Version) -> String {
    let (seconds, millis) = (version.0 / 1_000, version.0 % 1_000);
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let Date { year, month, day } = Date::of_days(days);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_written_as_its_time() {
        let table = [
            (0, "1970-01-01T00:00:00.000Z"),
            (1_443_604_157_614, "2015-09-30T09:09:17.614Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (4_107_542_399_999, "2100-02-28T23:59:59.999Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ];
        for (millis, text) in table {
            assert_eq!(shown(Version(millis)), text);
        }
    }
}
