//! Whom an agent believes when servers say who they are: those that browsers believe, unless the operator names others.
//!
//! Source: RFC 7468; docs/isolation.md, "Files".

use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde::{Deserialize, Serialize};
use ureq::tls::{Certificate, PemItem, RootCerts, parse_pem};

/// The largest file of certificates, in bytes: a whole system's has some 200 kB.
const LARGEST: u64 = 1 << 20;

/// Certificates of authorities, as PEM; at least one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Authorities(String);

impl Authorities {
    /// Reads a file of certificates. Errors: it cannot be read, or there is none in it; for people.
    pub fn read(path: &Path) -> Result<Self, String> {
        let shown = path.display();
        let mut text = String::new();
        let read = File::open(path).and_then(|file| file.take(LARGEST + 1).read_to_string(&mut text));
        read.map_err(|error| format!("cannot read {shown}: {error}"))?;
        if text.len() as u64 > LARGEST {
            return Err(format!("{shown} has more than {LARGEST} bytes; name fewer authorities"));
        }
        let authorities = Self(text);
        match authorities.certificates() {
            Ok(certificates) if certificates.is_empty() => {
                Err(format!("{shown} holds no certificate; it should have -----BEGIN CERTIFICATE----- in it"))
            }
            Ok(_) => Ok(authorities),
            Err(error) => Err(format!("{shown} holds what is no certificate: {error}")),
        }
    }

    fn certificates(&self) -> Result<Vec<Certificate<'static>>, ureq::Error> {
        let certificate = |item: Result<PemItem<'static>, ureq::Error>| match item {
            Ok(PemItem::Certificate(certificate)) => Some(Ok(certificate)),
            Ok(_) => None,
            Err(error) => Some(Err(error)),
        };
        parse_pem(self.0.as_bytes()).filter_map(certificate).collect()
    }

    /// Whom to believe; without any of the operator's, those that come with this program.
    pub(super) fn roots(own: Option<&Self>) -> RootCerts {
        match own.map(|own| own.certificates().unwrap_or_default()) {
            Some(certificates) => RootCerts::from(certificates.into_iter()),
            None => RootCerts::WebPki,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_a_certificate_is_refused_by_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ca.pem");
        assert!(Authorities::read(&path).unwrap_err().contains("ca.pem"));
        for (text, expected) in [
            ("nothing", "holds no certificate"),
            ("-----BEGIN CERTIFICATE-----\n*\n-----END CERTIFICATE-----\n", "no certificate"),
        ] {
            std::fs::write(&path, text).unwrap();
            let refused = Authorities::read(&path).unwrap_err();
            assert!(refused.contains(expected), "{refused}");
        }
        std::fs::write(&path, "x".repeat((1 << 20) + 1)).unwrap();
        assert!(Authorities::read(&path).unwrap_err().contains("more than"));
    }
}
