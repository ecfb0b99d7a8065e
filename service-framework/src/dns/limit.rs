//! How much each source may ask.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use tokio::time::Instant;

/// Sources that are remembered.
const SOURCES: usize = 16_384;

/// Who asks: an IPv4 address, or the network of an IPv6 address, of which one host has a whole one.
type Source = [u8; 8];

/// Buckets of tokens: each packet takes one, each second gives `rate` back, at most two seconds' worth is kept.
pub(super) struct Limit {
    rate: f64,
    buckets: HashMap<Source, (f64, Instant)>,
}

impl Limit {
    /// So many packets a second from each source.
    pub(super) fn new(rate: u32) -> Self {
        Self { rate: f64::from(rate.max(1)), buckets: HashMap::new() }
    }

    /// May this one be answered?
    pub(super) fn allows(&mut self, now: Instant, from: IpAddr) -> bool {
        let most = self.rate * 2.0;
        let source = source_of(from);
        if !self.buckets.contains_key(&source) && self.buckets.len() >= SOURCES {
            // Those that would be full again say nothing. Should all be busy, all begin anew: what is forged most is cheap.
            let refill = Duration::from_secs(2);
            self.buckets.retain(|_, (_, last)| now.saturating_duration_since(*last) < refill);
            if self.buckets.len() >= SOURCES {
                self.buckets.clear();
            }
        }
        let (tokens, last) = self.buckets.entry(source).or_insert((most, now));
        *tokens = (*tokens + self.rate * now.saturating_duration_since(*last).as_secs_f64()).min(most);
        *last = now;
        let allowed = *tokens >= 1.0;
        if allowed {
            *tokens -= 1.0;
        }
        allowed
    }
}

fn source_of(address: IpAddr) -> Source {
    let mut source = [0; 8];
    match address.to_canonical() {
        IpAddr::V4(four) => {
            source[..4].copy_from_slice(&four.octets());
            source[7] = 4;
        }
        IpAddr::V6(six) => source.copy_from_slice(&six.octets()[..8]),
    }
    source
}
