//! Which faults a run has.

use std::fmt;
use std::str::FromStr;

/// The families of faults that seeds may draw from. Which of them a seed has, and how strong, it draws.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Profile {
    /// Processes are killed.
    pub kills: bool,
    /// The network delays, loses, repeats and parts.
    pub network: bool,
    /// Disks tear, fill up, fail, and hosts lose power.
    pub disks: bool,
    /// Clocks run fast or slow, and processes stall.
    pub clocks: bool,
    /// Operators change weights and quotas, drain and maintain agents.
    pub operators: bool,
    /// Tasks are looked at, fall ill, and take too long.
    pub health: bool,
}

/// A name that is no profile.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no family of faults: write all, none, or some of kills, network, disks, clocks, operators, health, parted by commas"
)]
pub struct UnknownProfile(String);

impl Profile {
    /// No fault at all.
    pub const NONE: Self =
        Self { kills: false, network: false, disks: false, clocks: false, operators: false, health: false };
    /// Every family.
    pub const ALL: Self =
        Self { kills: true, network: true, disks: true, clocks: true, operators: true, health: true };

    fn families(&mut self) -> [(&'static str, &mut bool); 6] {
        [
            ("kills", &mut self.kills),
            ("network", &mut self.network),
            ("disks", &mut self.disks),
            ("clocks", &mut self.clocks),
            ("operators", &mut self.operators),
            ("health", &mut self.health),
        ]
    }
}

impl Default for Profile {
    fn default() -> Self {
        Self::ALL
    }
}

impl FromStr for Profile {
    type Err = UnknownProfile;

    fn from_str(text: &str) -> Result<Self, UnknownProfile> {
        match text {
            "all" => return Ok(Self::ALL),
            "none" => return Ok(Self::NONE),
            _ => {}
        }
        let mut profile = Self::NONE;
        for word in text.split(',').map(str::trim) {
            let mut families = profile.families().into_iter();
            let family = families.find(|(name, _)| *name == word);
            let (_, on) = family.ok_or_else(|| UnknownProfile(word.chars().take(64).collect()))?;
            *on = true;
        }
        Ok(profile)
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut copy = *self;
        let on: Vec<_> = copy.families().into_iter().filter(|(_, on)| **on).map(|(name, _)| name).collect();
        match *self {
            Self::ALL => f.write_str("all"),
            Self::NONE => f.write_str("none"),
            _ => f.write_str(&on.join(",")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_is_read_as_it_is_shown_and_an_unknown_word_is_named() {
        for text in ["all", "none", "kills,network", "clocks"] {
            assert_eq!(text.parse::<Profile>().map(|profile| profile.to_string()), Ok(text.to_owned()));
        }
        let wrong = "kills,rain".parse::<Profile>().map_err(|error| error.to_string());
        assert!(wrong.is_err_and(|error| error.starts_with("\"rain\" is no family")));
    }
}
