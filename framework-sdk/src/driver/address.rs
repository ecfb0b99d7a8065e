//! How the address of a master reads: `http://HOST:PORT`.
//!
//! The scheme may be left out, and a slash may stand at the end, as it does for `lonja --master`. Whatever else would be
//! taken in and then never be reached is refused here, where it can be said what is wrong with it.

/// The address as a URL. Errors: it is none, in words.
pub(super) fn url(address: &str) -> Result<String, String> {
    let rest = match address.split_once("://") {
        None => address,
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => rest,
        Some((scheme, _)) if scheme.eq_ignore_ascii_case("https") => {
            return Err("a master speaks no TLS; write `http`, not `https`".to_owned());
        }
        Some((scheme, _)) => return Err(format!("no master is reached by `{scheme}://`")),
    };
    let authority = rest.strip_suffix('/').unwrap_or(rest);
    if let Some(at) = authority.find(['/', '?', '#']) {
        return Err(format!("{:?} is too much; a master has no path", &authority[at..]));
    }
    if authority.contains('@') {
        return Err("a user's name is of no use to a master".to_owned());
    }
    if authority.contains(char::is_whitespace) {
        return Err("there is a space in it".to_owned());
    }
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (authority, None),
    };
    if host.is_empty() {
        return Err("it names no host".to_owned());
    }
    if host.contains(':') && !(host.starts_with('[') && host.ends_with(']')) {
        return Err("an address of IPv6 stands in brackets, such as `[::1]`".to_owned());
    }
    let port = port.ok_or("it names no port; unless told otherwise a master listens at 5050")?;
    match port.parse::<u16>() {
        Ok(1..) => Ok(format!("http://{authority}")),
        _ => Err(format!("{port:?} is no port; those are from 1 to 65535")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_names_a_host_and_a_port_and_nothing_else() {
        for address in [
            "host:5050",
            "http://host:5050",
            "HTTP://host:5050/",
            "10.0.0.1:1",
            "http://[::1]:65535",
            "[::1]:1",
        ] {
            assert!(url(address).is_ok_and(|url| url.starts_with("http://")), "{address}");
        }
        for (address, why) in [
            ("https://host:5050", "TLS"),
            ("ftp://host:5050", "`ftp://`"),
            ("unix:///run/master", "`unix://`"),
            ("http://host", "no port"),
            ("host", "no port"),
            ("[::1]", "no port"),
            ("http://host:99999", "\"99999\""),
            ("host:0", "\"0\""),
            ("host:", "\"\" is no port"),
            ("http://host:5050/api/v1", "\"/api/v1\""),
            ("http://host:5050?leader", "\"?leader\""),
            ("unix:/run/master", "path"),
            ("::1:5050", "brackets"),
            ("me@host:5050", "user"),
            ("http://:5050", "no host"),
            ("http://not an address", "space"),
            ("", "no host"),
        ] {
            let refusal = url(address).unwrap_err();
            assert!(refusal.contains(why), "{address}: {refusal}");
        }
    }
}
