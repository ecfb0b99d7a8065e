//! What comes with the command: files to fetch, secrets, folders in memory, as the flags say it.

use std::io::Read;

use anyhow::{Context, anyhow, bail};
use lonja_model::files::{LONGEST_SECRET, Secret, SecretBytes, Uri};
use lonja_sdk::Task;

use crate::args::{TaskFiles, bytes};

/// The task with all that its flags bring. Errors: which flag, and what to do.
pub(super) fn bring(files: &TaskFiles, mut task: Task) -> anyhow::Result<Task> {
    for said in &files.fetch {
        task = task.fetch(uri(said).with_context(|| format!("--fetch {said}"))?);
    }
    for said in &files.fetch_cached {
        let mut uri = uri(said).with_context(|| format!("--fetch-cached {said}"))?;
        uri.cache = true;
        task = task.fetch(uri);
    }
    for said in &files.fetch_executable {
        let mut uri = uri(said).with_context(|| format!("--fetch-executable {said}"))?;
        (uri.executable, uri.extract) = (true, false);
        task = task.fetch(uri);
    }
    for said in &files.secret {
        let (name, secret) = secret(said).with_context(|| format!("--secret {said}"))?;
        let is_plain = |part: &str| !part.is_empty() && !part.starts_with('.');
        if !name.split('/').all(is_plain) || name.split('/').count() > 2 {
            bail!("--secret {said}: {name:?} is no plain name of a file, nor NAME/KEY");
        }
        task = task.secret_file(format!("secrets/{name}"), secret);
    }
    for said in &files.secret_env {
        let (name, secret) = secret(said).with_context(|| format!("--secret-env {said}"))?;
        task = task.secret_env(name, secret);
    }
    for said in &files.tmpfs {
        let (path, size) = match said.rsplit_once(':') {
            Some((path, size)) => {
                let size = bytes(size).map_err(|error| anyhow!("--tmpfs {said}: {error}"))?;
                (path, Some(size))
            }
            None => (said.as_str(), None),
        };
        if path.is_empty() || size == Some(0) {
            bail!("--tmpfs {said}: write PATH or PATH:SIZE, such as scratch:64MiB");
        }
        task = task.tmpfs(path, size);
    }
    Ok(task)
}

/// `URI`, `URI=NAME`, and either with `#sha256=DIGITS`. Where the URI has a `?`, no `=` in it begins a name.
fn uri(said: &str) -> anyhow::Result<Uri> {
    let (said, checksum) = match said.split_once("#sha256=") {
        Some((said, checksum)) => (said, Some(checksum.parse()?)),
        None => (said, None),
    };
    // Something that looks like a checksum and is not read as one would pass for a verified file.
    if let Some((_, fragment)) = said.split_once('#') {
        bail!("#{fragment} is not understood; for a checksum write #sha256= and 64 hexadecimal digits");
    }
    let mut uri = match said.rsplit_once('=') {
        Some((uri, name)) if !uri.contains('?') => Uri::saved_as(uri, name)?,
        _ => Uri::new(said)?,
    };
    uri.sha256 = checksum;
    Ok(uri)
}

/// `NAME=FILE`, or `NAME` or `NAME/KEY` for the one that the agent's own store has.
fn secret(said: &str) -> anyhow::Result<(String, Secret)> {
    let Some((name, file)) = said.split_once('=') else {
        let (name, key) = said.split_once('/').map_or((said, None), |(name, key)| (name, Some(key)));
        let secret = Secret::Reference { name: name.to_owned(), key: key.map(str::to_owned) };
        return Ok((said.to_owned(), secret));
    };
    if name.is_empty() {
        bail!("write NAME=FILE, or NAME for a secret of the agent's own store");
    }
    let mut bytes = Vec::new();
    let opened = std::fs::File::open(file).with_context(|| format!("cannot open {file}"))?;
    let read = opened.take(LONGEST_SECRET as u64 + 1).read_to_end(&mut bytes);
    read.with_context(|| format!("cannot read {file}"))?;
    let secret = SecretBytes::new(bytes);
    let secret = secret.with_context(|| format!("{file} has more than {LONGEST_SECRET} bytes"))?;
    Ok((name.to_owned(), Secret::Value(secret)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stands_after_the_last_equals_sign_unless_the_uri_asks() {
        let read = |said: &str| uri(said).map(|uri| (uri.value().to_owned(), uri.file_name().to_owned()));
        let expect = |value: &str, name: &str| (value.to_owned(), name.to_owned());
        assert_eq!(read("http://h/a").unwrap(), expect("http://h/a", "a"));
        assert_eq!(read("http://h/a=in/b c").unwrap(), expect("http://h/a", "in/b c"));
        assert_eq!(read("http://h/a?b=c").unwrap(), expect("http://h/a?b=c", "a"));
        let sum = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let checked = uri(&format!("http://h/a=b#sha256={sum}")).unwrap();
        assert_eq!((checked.file_name(), checked.sha256.unwrap().to_string().as_str()), ("b", sum));
        for bad in [
            "http://h/a=../b",
            "ftp://h/a",
            "http://h/a#sha256=12",
            "http://h/a#SHA256=00",
            "http://h/a#md5=00",
            "http://h/a#b",
        ] {
            assert!(uri(bad).is_err(), "{bad}");
        }
    }
}
