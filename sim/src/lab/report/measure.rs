//! What is measured of a run: names, units, and how people see the numbers.
//!
//! `docs/simulator.md` defines each with its formula, under the same names.

/// One number that a run comes to. Their order is that of all tables.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Measure {
    /// Tasks launched.
    Placed,
    /// Tasks that no machine of the fleet could hold.
    Never,
    /// Tasks that arrived, could be held, and were neither launched nor lost when the run ended.
    StillWaiting,
    /// Tasks that the policy lost.
    Failed,
    /// Tasks ended to make room for others.
    Preempted,
    /// Launches for each simulated second.
    LaunchesPerSecond,
    /// The median of the launched tasks' waiting times, seconds.
    WaitP50,
    /// Their 99th percentile, seconds.
    WaitP99,
    /// What tasks held of a kind, mean over time; 0 to 1.
    UtilisationMean(String),
    /// What they held at the end; 0 to 1.
    UtilisationFinal(String),
    /// Free resources of no use to the typical task, mean over time; 0 to 1.
    Fragmentation,
    /// Jain's index of the frameworks' weighted dominant shares, mean over time; 0 to 1.
    Jain,
    /// The widest that two frameworks' weighted dominant shares were apart.
    LargestGap,
}

impl Measure {
    /// Its name for programs: stable, lower case, words joined by `_`.
    pub fn name(&self) -> String {
        let name = match self {
            Self::Placed => "placed",
            Self::Never => "never",
            Self::StillWaiting => "still_waiting",
            Self::Failed => "failed",
            Self::Preempted => "preempted",
            Self::LaunchesPerSecond => "launches_per_second",
            Self::WaitP50 => "wait_p50_s",
            Self::WaitP99 => "wait_p99_s",
            Self::UtilisationMean(kind) => return format!("utilisation_mean_{kind}"),
            Self::UtilisationFinal(kind) => return format!("utilisation_final_{kind}"),
            Self::Fragmentation => "fragmentation_mean",
            Self::Jain => "jain_mean",
            Self::LargestGap => "share_gap_max",
        };
        name.to_owned()
    }

    /// Its name at the head of a column for people, with the unit if there is one.
    pub(super) fn heading(&self) -> String {
        let heading = match self {
            Self::Placed => "PLACED",
            Self::Never => "NEVER",
            Self::StillWaiting => "WAITING",
            Self::Failed => "FAILED",
            Self::Preempted => "PREEMPTED",
            Self::LaunchesPerSecond => "LAUNCHES /s",
            Self::WaitP50 => "WAIT P50 s",
            Self::WaitP99 => "WAIT P99 s",
            Self::UtilisationMean(kind) => return format!("{} MEAN %", kind.to_uppercase()),
            Self::UtilisationFinal(kind) => return format!("{} FINAL %", kind.to_uppercase()),
            Self::Fragmentation => "FRAGMENTED %",
            Self::Jain => "JAIN",
            Self::LargestGap => "SHARE GAP %",
        };
        heading.to_owned()
    }

    /// Its unit, as in `docs/simulator.md`.
    pub fn unit(&self) -> &'static str {
        match self {
            Self::Placed | Self::Never | Self::StillWaiting | Self::Failed | Self::Preempted => "tasks",
            Self::LaunchesPerSecond => "tasks per simulated second",
            Self::WaitP50 | Self::WaitP99 => "s",
            Self::UtilisationMean(_) | Self::UtilisationFinal(_) | Self::Fragmentation => "fraction",
            Self::Jain => "index",
            Self::LargestGap => "fraction",
        }
    }

    /// What people see of `value`: parts of 1 in percent.
    pub(super) fn shown(&self, value: f64) -> f64 {
        if self.unit() == "fraction" { value * 100.0 } else { value }
    }

    /// How many digits after the point people see of values up to `largest`. Counts show one only where a mean over seeds
    /// is not `whole`; times and rates have about three digits in all, as they may be of any size.
    pub(super) fn decimals(&self, whole: bool, largest: f64) -> usize {
        let three_digits = |most: usize| {
            // Of nothing the logarithm is minus infinity, which the cast makes the least integer.
            let size = largest.abs().log10().floor() as i32;
            usize::try_from(2_i32.saturating_sub(size)).unwrap_or(0).min(most)
        };
        match self {
            Self::Placed | Self::Never | Self::StillWaiting | Self::Failed | Self::Preempted => {
                usize::from(!whole)
            }
            Self::WaitP50 | Self::WaitP99 => three_digits(3).max(1),
            Self::LaunchesPerSecond => three_digits(6),
            Self::UtilisationMean(_) | Self::UtilisationFinal(_) | Self::Fragmentation | Self::LargestGap => {
                2
            }
            Self::Jain => 3,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_rates_have_about_three_digits_whatever_their_size() {
        let decimals = |largest| Measure::LaunchesPerSecond.decimals(false, largest);
        assert_eq!([0.000_63, 0.05, 3.2, 31.0, 277.0, 1e9].map(decimals), [6, 4, 2, 1, 0, 0]);
        assert_eq!((Measure::WaitP99.decimals(true, 0.0), Measure::WaitP99.decimals(true, 12.5)), (3, 1));
        assert_eq!((Measure::Placed.decimals(true, 3.0), Measure::Placed.decimals(false, 3.5)), (0, 1));
    }
}
