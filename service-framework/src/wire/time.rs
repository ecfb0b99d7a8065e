//! Times and versions as text: `2015-09-30T09:09:17.614Z`.
//!
//! Source: Marathon's API: UTC, always three digits of a second, always `Z`. Other offsets are taken and converted.

use lonja_model::Timestamp;
use lonja_services_core::definition::Version;

/// `2015-09-30T09:09:17.614Z`. What is below a millisecond is cut off.
pub fn time(at: Timestamp) -> String {
    version(Version(at.as_nanos() / 1_000_000))
}

/// `2015-09-30T09:09:17.614Z`.
pub fn version(version: Version) -> String {
    // The last day that jiff knows is in the year 9999; a version beyond it is no time that ever was.
    let millis = i64::try_from(version.0).unwrap_or(i64::MAX).min(253_402_207_200_000 - 1);
    let Ok(at) = jiff::Timestamp::from_millisecond(millis) else {
        return "1970-01-01T00:00:00.000Z".to_owned();
    };
    format!("{at:.3}")
}

/// The version of this text, with any offset. None: it is no time, or one before 1970.
pub fn parse_version(text: &str) -> Option<Version> {
    if text.len() > 64 {
        return None;
    }
    let at: jiff::Timestamp = text.parse().ok()?;
    u64::try_from(at.as_millisecond()).ok().map(Version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_three_digits_and_a_z_and_comes_back() {
        let at = parse_version("2015-09-30T09:09:17.614Z").unwrap();
        assert_eq!(version(at), "2015-09-30T09:09:17.614Z");
        assert_eq!(time(at.at()), "2015-09-30T09:09:17.614Z");
        assert_eq!(version(Version(0)), "1970-01-01T00:00:00.000Z");
        assert_eq!(parse_version("2015-09-30T11:09:17.614+02:00"), Some(at));
        for wrong in ["", "yesterday", "2015-09-30", "1969-01-01T00:00:00Z", &"1".repeat(100)] {
            assert_eq!(parse_version(wrong), None, "{wrong}");
        }
        assert!(version(Version(u64::MAX)).ends_with('Z'));
    }
}
