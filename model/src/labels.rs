//! Free-form key and value pairs that people hang on things. Lonja carries them and never reads them.

/// Labels in the order they were given; a key may stand more than once and may have no value.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Labels(pub Vec<(String, Option<String>)>);
