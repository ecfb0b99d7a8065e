//! The masters of one cluster: who is tried next.
//!
//! They are tried in turn, beginning with the one that answered last. How long is waited between tries is the core's.

use std::collections::{BTreeMap, BTreeSet};

use tonic::transport::Endpoint;

use super::error::DriverError;
use crate::connection::endpoint;

/// The masters, in the order given.
#[derive(Debug)]
pub(crate) struct Masters {
    all: Vec<(String, Endpoint)>,
    /// The one that is tried, or connected.
    current: usize,
    /// Whether the current one was tried since it last answered.
    tried: bool,
    /// Those whose last answer was that they are no masters.
    strangers: BTreeSet<usize>,
    /// What the last try of each came to, since one has answered.
    failures: BTreeMap<usize, String>,
}

impl Masters {
    /// From addresses with commas between. Errors: one is no address, or there is none.
    pub(crate) fn parse(list: &str) -> Result<Self, DriverError> {
        let mut all = Vec::new();
        for address in list.split(',').map(str::trim).filter(|address| !address.is_empty()) {
            let endpoint = super::address::url(address).and_then(|url| endpoint(&url));
            all.push((address.to_owned(), endpoint.map_err(|why| no_address(address, why))?));
        }
        if all.is_empty() {
            return Err(no_address(list, "there is none".to_owned()));
        }
        Ok(Self { all, current: 0, tried: false, strangers: BTreeSet::new(), failures: BTreeMap::new() })
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    /// Whom to try now.
    pub(crate) fn next(&mut self) -> Endpoint {
        if std::mem::replace(&mut self.tried, true) {
            self.current = (self.current + 1) % self.all.len();
        }
        self.all[self.current].1.clone()
    }

    /// The address of the one that is tried, or connected.
    pub(crate) fn current(&self) -> &str {
        &self.all[self.current].0
    }

    /// The current one has taken the framework in: it is tried first should the connection be lost.
    pub(crate) fn answered(&mut self) {
        self.tried = false;
        self.strangers.clear();
        self.failures.clear();
    }

    /// The current one could not be reached, or was lost.
    pub(crate) fn failed(&mut self, why: String) {
        self.failures.insert(self.current, why);
    }

    /// Why there is no master: what the last try of each came to, by its address if there are several.
    pub(crate) fn why(&self) -> String {
        let why = |index| self.failures.get(&index).map_or("no try has ended yet", String::as_str);
        if let [_one] = &*self.all {
            return why(0).to_owned();
        }
        let each = self.all.iter().enumerate();
        each.map(|(index, (address, _))| format!("{address}: {}", why(index))).collect::<Vec<_>>().join("; ")
    }

    /// The current one is no master; `true` if none of them is.
    pub(crate) fn is_no_master(&mut self, why: &str) -> bool {
        self.failed(format!("no Lonja master of this version ({why})"));
        self.strangers.insert(self.current);
        self.strangers.len() == self.all.len()
    }
}

/// The address of one master as a URL: `http://HOST:PORT`, of which the scheme may be left out. Errors:
/// [`DriverError::Address`].
pub fn master_url(address: &str) -> Result<String, DriverError> {
    super::address::url(address).map_err(|why| no_address(address, why))
}

fn no_address(master: &str, why: String) -> DriverError {
    DriverError::Address { master: master.to_owned(), why }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tried(masters: &mut Masters) -> String {
        masters.next();
        masters.current().to_owned()
    }

    #[tokio::test]
    async fn masters_are_tried_in_turn_and_the_last_good_one_first() {
        let mut masters = Masters::parse("a:1, http://b:2,c:3").unwrap();
        assert_eq!(["a:1", "http://b:2", "c:3", "a:1", "http://b:2"], [(); 5].map(|()| tried(&mut masters)));
        masters.answered();
        assert_eq!(["http://b:2", "c:3"], [(); 2].map(|()| tried(&mut masters)));
    }

    #[tokio::test]
    async fn only_if_none_of_them_is_a_master_is_there_no_master() {
        let mut masters = Masters::parse("a:1,b:2").unwrap();
        masters.next();
        assert!(!masters.is_no_master("it laughs"));
        assert!(!masters.is_no_master("it laughs"), "the same again");
        masters.next();
        assert!(masters.is_no_master("it laughs"));
    }

    #[test]
    fn a_list_without_an_address_is_refused() {
        for list in ["", " , "] {
            assert!(matches!(Masters::parse(list), Err(DriverError::Address { .. })));
        }
    }

    #[test]
    fn an_address_that_is_none_is_named_with_what_is_wrong_and_how_it_must_read() {
        let error = Masters::parse("a:1, https://b:2").unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, DriverError::Address { .. }), "{text}");
        assert!(
            text.contains("\"https://b:2\"") && text.contains("TLS") && text.contains("`http://HOST:PORT`"),
            "{text}"
        );
    }
}
