//! Counts of what the network and clocks went through, so that what is never tried is seen (INV-M2).

use std::fmt;
use std::ops::AddAssign;

use crate::clocks::Clocks;
use crate::faults::{Told, Trouble, Ways};
use crate::report::Activity;

/// Declares counters that add up and can be listed by name.
macro_rules! counters {
    ($(#[$outer:meta])* $name:ident { $($(#[$inner:meta])* $field:ident: $words:literal,)* }) => {
        $(#[$outer])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct $name {
            $($(#[$inner])* pub $field: u64,)*
        }

        impl AddAssign for $name {
            fn add_assign(&mut self, other: Self) {
                $(self.$field += other.$field;)*
            }
        }

        impl $name {
            /// Each counter with its name.
            pub fn all(&self) -> Vec<(&'static str, u64)> {
                vec![$(($words, self.$field)),*]
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let all: Vec<_> = self.all().iter().map(|(name, number)| format!("{number} {name}")).collect();
                f.write_str(&all.join(", "))
            }
        }
    };
}

counters! {
    /// What links between the master and its clients went through.
    NetworkTroubles {
        /// Links cut both ways.
        cut: "links cut",
        /// Links cut one way: nothing reaches the client.
        deaf: "clients made deaf",
        /// Links cut one way: nothing of the client reaches the master.
        mute: "clients made mute",
        /// Links with large delays.
        slow: "links made slow",
        /// Links that carry little.
        narrow: "links made narrow",
        /// Links closed to new connections.
        refusing: "links closed to connections",
        /// Connections that broke for both ends.
        broken: "connections broken",
        /// Connections that broke, which one end or none was told of.
        half_open: "connections left half-open",
        /// Processes that went without their hosts saying so.
        silent_deaths: "silent deaths",
        /// Connections that an end gave up because no answer came in time.
        given_up: "connections given up",
        /// Tries to connect that failed.
        failed_dials: "failed tries to connect",
        /// Messages that came twice.
        repeated: "messages repeated",
    }
}

counters! {
    /// What the clocks of processes went through.
    ClockTroubles {
        /// Processes stopped for a while.
        stalls: "stalls",
        /// Monotonic clocks that leapt ahead.
        leaps: "leaps",
        /// Wall clocks that jumped.
        jumps: "jumps",
        /// Runs in which clocks ran at different rates.
        skewed: "runs with skewed clocks",
    }
}

impl NetworkTroubles {
    pub(crate) fn count(&mut self, trouble: Trouble) {
        *match trouble {
            Trouble::Cut(Ways::Both) => &mut self.cut,
            Trouble::Cut(Ways::ToClient) => &mut self.deaf,
            Trouble::Cut(Ways::ToMaster) => &mut self.mute,
            Trouble::Slow(..) => &mut self.slow,
            Trouble::Narrow(..) => &mut self.narrow,
            Trouble::Refusing => &mut self.refusing,
        } += 1;
    }

    pub(crate) fn count_break(&mut self, told: Told) {
        *match told {
            Told::Both => &mut self.broken,
            Told::Client | Told::Master | Told::Nobody => &mut self.half_open,
        } += 1;
    }
}

impl Activity {
    /// That of a run that begins with `clocks`.
    pub(crate) fn of(clocks: &Clocks) -> Self {
        let clocks = ClockTroubles { skewed: u64::from(clocks.are_skewed()), ..ClockTroubles::default() };
        Self { clocks, ..Self::default() }
    }
}
