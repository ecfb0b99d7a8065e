//! The texts in which the kernel tells what a group uses, read.
//!
//! What cannot be read or is not there is `None`: a host may lack a controller, a kernel a file, and a group may go
//! while it is read.

use std::collections::BTreeMap;
use std::path::Path;

use super::io::numbers_of;
use super::usage::{DeviceIo, NetworkUsage, Pressure, Stall};

/// From here on a v1 limit means none: the kernel shows the largest number of pages that it can count.
const V1_UNLIMITED: u64 = 1 << 62;

/// A file of `key value` lines, or nothing.
pub(super) struct Keyed(String);

impl Keyed {
    pub(super) fn read(path: &Path) -> Self {
        Self(std::fs::read_to_string(path).unwrap_or_default())
    }

    pub(super) fn get(&self, key: &str) -> Option<u64> {
        let value = |line: &str| line.strip_prefix(key)?.strip_prefix(' ')?.trim().parse().ok();
        self.0.lines().find_map(value)
    }
}

/// A file that holds one number; `max` is none.
pub(super) fn number(path: &Path) -> Option<u64> {
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// A v1 limit in bytes, unless it is the one that stands for none.
pub(super) fn v1_limit(path: &Path) -> Option<u64> {
    number(path).filter(|limit| *limit < V1_UNLIMITED)
}

/// `quota period` of the hard CPU limit, as thousandths of a CPU.
pub(super) fn cpu_limit(quota: &str, period: &str) -> Option<u64> {
    // No limit is -1 in v1 and `max` in v2.
    let (quota, period): (u64, u64) = (quota.trim().parse().ok()?, period.trim().parse().ok()?);
    quota.saturating_mul(1000).checked_div(period)
}

/// v1 counters: lines of `major:minor Operation count`, for bytes and for operations.
pub(super) fn v1_io(bytes: &str, operations: &str) -> Vec<DeviceIo> {
    let mut devices: BTreeMap<(u32, u32), DeviceIo> = BTreeMap::new();
    for (text, is_bytes) in [(bytes, true), (operations, false)] {
        for line in text.lines() {
            let mut words = line.split_whitespace();
            let (Some(device), Some(what), Some(count)) = (words.next(), words.next(), words.next()) else {
                continue;
            };
            let (Some((major, minor)), Ok(count)) = (numbers_of(device), count.parse()) else { continue };
            let device = devices.entry((major, minor)).or_default();
            (device.major, device.minor) = (major, minor);
            match (what, is_bytes) {
                ("Read", true) => device.read_bytes = count,
                ("Write", true) => device.write_bytes = count,
                ("Read", false) => device.reads = count,
                ("Write", false) => device.writes = count,
                _ => {}
            }
        }
    }
    devices.into_values().collect()
}

/// v2 `io.stat`: lines of `major:minor key=count…`.
pub(super) fn v2_io(text: &str) -> Vec<DeviceIo> {
    let device = |line: &str| {
        let mut words = line.split_whitespace();
        let (major, minor) = numbers_of(words.next()?)?;
        let mut device = DeviceIo { major, minor, ..DeviceIo::default() };
        for (key, count) in words.filter_map(|word| word.split_once('=')) {
            let count = count.parse().unwrap_or(0);
            match key {
                "rbytes" => device.read_bytes = count,
                "wbytes" => device.write_bytes = count,
                "rios" => device.reads = count,
                "wios" => device.writes = count,
                _ => {}
            }
        }
        Some(device)
    };
    text.lines().filter_map(device).collect()
}

/// What the `*.pressure` files of a v2 group say.
pub(super) fn pressure(group: &Path) -> Pressure {
    let stall = |name: &str| std::fs::read_to_string(group.join(name)).ok().map(|text| stall_of(&text));
    Pressure { cpu: stall("cpu.pressure"), memory: stall("memory.pressure"), io: stall("io.pressure") }
}

/// Lines `some avg10=0.12 avg60=… avg300=… total=123` and `full …`.
fn stall_of(text: &str) -> Stall {
    let mut stall = Stall::default();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let which = words.next();
        let value = |key: &str| {
            let mut fields = line.split_whitespace().filter_map(|word| word.split_once('='));
            fields.find(|(name, _)| *name == key).map_or("", |(_, value)| value)
        };
        // Always two digits behind the point.
        let average = value("avg10").replace('.', "").parse().unwrap_or(0);
        let total = value("total").parse().unwrap_or(0);
        match which {
            Some("some") => (stall.some_avg10_hundredths, stall.some_us) = (average, total),
            Some("full") => (stall.full_avg10_hundredths, stall.full_us) = (average, total),
            _ => {}
        }
    }
    stall
}

/// Traffic of the process's network namespace, unless it is our own.
pub(crate) fn network_of(pid: i32) -> Option<NetworkUsage> {
    let theirs = std::fs::read_link(format!("/proc/{pid}/ns/net")).ok()?;
    if theirs == std::fs::read_link("/proc/self/ns/net").ok()? {
        return None;
    }
    Some(network_in(&std::fs::read_to_string(format!("/proc/{pid}/net/dev")).ok()?))
}

/// `/proc/net/dev`: two lines of headings, then `name: ` and eight numbers for each direction.
fn network_in(text: &str) -> NetworkUsage {
    let mut sum = NetworkUsage::default();
    for (name, figures) in text.lines().skip(2).filter_map(|line| line.split_once(':')) {
        if name.trim() == "lo" {
            continue;
        }
        let figures: Vec<u64> = figures.split_whitespace().map(|word| word.parse().unwrap_or(0)).collect();
        let figure = |index: usize| figures.get(index).copied().unwrap_or(0);
        for (total, index) in [
            (&mut sum.receive_bytes, 0),
            (&mut sum.receive_packets, 1),
            (&mut sum.receive_errors, 2),
            (&mut sum.receive_dropped, 3),
            (&mut sum.send_bytes, 8),
            (&mut sum.send_packets, 9),
            (&mut sum.send_errors, 10),
            (&mut sum.send_dropped, 11),
        ] {
            *total = total.saturating_add(figure(index));
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn io_is_told_alike_by_both_versions() {
        let bytes = "254:0 Read 4096\n254:0 Write 8192\n254:0 Sync 0\n254:0 Total 12288\nTotal 12288\n";
        let operations = "254:0 Read 1\n254:0 Write 2\n254:0 Total 3\nTotal 3\n";
        let v2 = "254:0 rbytes=4096 wbytes=8192 rios=1 wios=2 dbytes=0 dios=0\n8:0 \n";

        let v1 = v1_io(bytes, operations);

        let disk =
            DeviceIo { major: 254, minor: 0, read_bytes: 4096, write_bytes: 8192, reads: 1, writes: 2 };
        assert_eq!(v2_io(v2)[0], disk);
        assert_eq!(v1, [disk]);
    }

    #[test]
    fn pressure_has_an_average_and_a_total() {
        let text = "some avg10=12.34 avg60=0.00 avg300=0.00 total=567\nfull avg10=0.07 avg60=0.00 avg300=0.00 total=8\n";
        let stall = stall_of(text);
        assert_eq!((stall.some_avg10_hundredths, stall.some_us), (1234, 567));
        assert_eq!((stall.full_avg10_hundredths, stall.full_us), (7, 8));
    }

    #[test]
    fn traffic_is_summed_without_loopback() {
        let text = "Inter-|   Receive\n face |bytes\n    lo: 5 5 5 5 5 5 5 5 5 5 5 5 5 5 5 5\n\
                    eth0: 10 2 3 4 0 0 0 0 20 6 7 8 0 0 0 0\neth1:1 0 0 0 0 0 0 0 1 0 0 0 0 0 0 0\n";
        let sum = network_in(text);
        assert_eq!(
            (sum.receive_bytes, sum.receive_packets, sum.receive_errors, sum.receive_dropped),
            (11, 2, 3, 4)
        );
        assert_eq!((sum.send_bytes, sum.send_packets, sum.send_errors, sum.send_dropped), (21, 6, 7, 8));
    }

    #[test]
    fn a_hard_limit_is_thousandths_of_a_cpu() {
        assert_eq!(cpu_limit("50000\n", "100000\n"), Some(500));
        assert_eq!(cpu_limit("-1\n", "100000\n"), None);
        assert_eq!(cpu_limit("max", "100000"), None);
    }

    #[test]
    fn processes_beside_us_share_our_network() {
        assert_eq!(network_of(std::process::id().cast_signed()), None);
    }
}
