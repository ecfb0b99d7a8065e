//! Checks, and what they saw.

use std::collections::BTreeMap;

use proptest::collection::btree_set;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use super::names::{any_duration, any_timestamp};
use super::tasks::any_command;
use crate::check::{Check, CheckStatus, Family, HealthCheck, HttpProbe, Pace, Probe, Scheme, Watched};
use crate::container::Command;

fn any_family() -> BoxedStrategy<Family> {
    select(vec![Family::IPv4, Family::IPv6]).boxed()
}

fn any_path() -> BoxedStrategy<Option<String>> {
    option::of("/[a-z0-9?=&%/.-]{0,12}").boxed()
}

fn any_pace() -> BoxedStrategy<Pace> {
    (any_duration(), any_duration(), any_duration())
        .prop_map(|(delay, interval, timeout)| Pace { delay, interval, timeout })
        .boxed()
}

/// A command that brings no files and no secrets.
fn any_probe_command() -> BoxedStrategy<Probe> {
    let plain = |command| Command { uris: Vec::new(), secrets: BTreeMap::new(), ..command };
    any_command().prop_map(move |command| Probe::Command(Box::new(plain(command)))).boxed()
}

/// Any health check.
pub fn any_health_check() -> BoxedStrategy<HealthCheck> {
    let scheme = select(vec![Scheme::Http, Scheme::Https]);
    let http = (1..=u16::MAX, any_path(), scheme, any_family(), btree_set(100..600_u16, 0..3));
    let probe = prop_oneof![
        any_probe_command(),
        http.prop_map(|(port, path, scheme, family, statuses)| {
            Probe::Http(HttpProbe { port, path, scheme, family, statuses })
        }),
        (1..=u16::MAX, any_family()).prop_map(|(port, family)| Probe::Tcp { port, family }),
    ];
    (probe, any_pace(), any_duration(), any::<u32>())
        .prop_map(|(probe, pace, grace, consecutive_failures)| HealthCheck {
            probe,
            pace,
            grace,
            consecutive_failures,
        })
        .boxed()
}

/// Any check.
pub fn any_check() -> BoxedStrategy<Check> {
    let probe = prop_oneof![
        any_probe_command(),
        (1..=u16::MAX, any_path()).prop_map(|(port, path)| Probe::Http(HttpProbe {
            port,
            path,
            ..HttpProbe::default()
        })),
        (1..=u16::MAX).prop_map(Probe::tcp),
    ];
    (probe, any_pace()).prop_map(|(probe, pace)| Check { probe, pace }).boxed()
}

/// Any result of a check, also none.
pub fn any_check_status() -> BoxedStrategy<CheckStatus> {
    prop_oneof![
        option::of(any::<i32>()).prop_map(CheckStatus::Command),
        option::of(any::<u16>()).prop_map(CheckStatus::Http),
        option::of(any::<bool>()).prop_map(CheckStatus::Tcp),
    ]
    .boxed()
}

/// Whatever may be known of a task from looking at it.
pub fn any_watched() -> BoxedStrategy<Watched> {
    let words = (option::of(any::<bool>()), option::of(any_check_status()), any::<bool>());
    (option::of(any_timestamp()), words)
        .prop_map(|(started, (healthy, check, given_up))| Watched { started, healthy, check, given_up })
        .boxed()
}
