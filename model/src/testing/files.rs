//! Files that come with tasks.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use crate::files::{Secret, SecretBytes, Sha256, Uri, VolumeSource};

/// A relative path of plain names.
pub(super) fn any_path() -> BoxedStrategy<String> {
    "[a-z0-9 _.-]{0,6}(/[a-z][a-z0-9 _.-]{0,6}){0,2}".prop_map(|path| format!("v{path}")).boxed()
}

/// Any file to fetch.
pub(super) fn any_uri() -> BoxedStrategy<Uri> {
    let value = ("(https?://[a-z.]{1,8}|file://)", any_path(), "(\\?[a-z=]{0,4})?")
        .prop_map(|(start, path, query)| format!("{start}/{path}{query}"));
    let flags = (any::<bool>(), any::<bool>(), any::<bool>());
    (value, option::of(any_path()), flags, option::of(any::<[u8; 32]>()))
        .prop_map(|(value, output, (executable, extract, cache), sum)| {
            let mut uri = match output {
                Some(output) => Uri::saved_as(value, output),
                None => Uri::new(value),
            }
            .expect("its parts were chosen to make one");
            (uri.executable, uri.extract, uri.cache) = (executable, extract, cache);
            uri.sha256 = sum.map(Sha256);
            uri
        })
        .boxed()
}

/// Any secret.
pub(super) fn any_secret() -> BoxedStrategy<Secret> {
    let name = || "[a-z][a-z0-9_.-]{0,8}";
    let reference = (name(), option::of(name())).prop_map(|(name, key)| Secret::Reference { name, key });
    let value = vec(any::<u8>(), 0..16).prop_map(|bytes| {
        Secret::Value(SecretBytes::new(bytes).expect("sixteen bytes are not too many for a secret"))
    });
    prop_oneof![reference, value].boxed()
}

/// Any place that a volume comes from.
pub(super) fn any_volume_source() -> BoxedStrategy<VolumeSource> {
    prop_oneof![
        any_path().prop_map(|path| VolumeSource::Host(format!("/{path}"))),
        any_path().prop_map(VolumeSource::Sandbox),
        any_secret().prop_map(VolumeSource::Secret),
        option::of(any::<u64>()).prop_map(|size| VolumeSource::Tmpfs { size }),
    ]
    .boxed()
}
