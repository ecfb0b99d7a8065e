//! The binary form of a message, field by field, without knowing the message.
//!
//! Source: Protocol Buffers, "Encoding".

/// The value of one field.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Value<'a> {
    /// A number of any width, as its bits.
    Number(u64),
    /// Text, bytes, a message, or numbers packed together.
    Bytes(&'a [u8]),
}

/// It ends in the middle of a field, or a field has a form that the schema has none of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Broken {
    /// How many bytes were left from the field's beginning.
    pub(crate) left: usize,
}

/// The fields of a message in the order in which they are there.
pub(crate) struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(crate) fn of(binary: &'a [u8]) -> Self {
        Self { rest: binary }
    }

    fn field(&mut self) -> Option<(u32, Value<'a>)> {
        let key = varint(&mut self.rest)?;
        let number = u32::try_from(key >> 3).ok().filter(|number| *number > 0)?;
        let value = match key & 7 {
            0 => Value::Number(varint(&mut self.rest)?),
            1 => Value::Number(u64::from_le_bytes(self.fixed()?)),
            2 => {
                let length = usize::try_from(varint(&mut self.rest)?).ok()?;
                let (bytes, rest) = self.rest.split_at_checked(length)?;
                self.rest = rest;
                Value::Bytes(bytes)
            }
            5 => Value::Number(u64::from(u32::from_le_bytes(self.fixed()?))),
            _ => return None,
        };
        Some((number, value))
    }

    fn fixed<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (bytes, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(*bytes)
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u32, Value<'a>), Broken>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let left = self.rest.len();
        let field = self.field();
        if field.is_none() {
            self.rest = &[];
        }
        Some(field.ok_or(Broken { left }))
    }
}

impl<'a> Value<'a> {
    /// Numbers packed together: of eight bytes each, or as long as each needs.
    pub(crate) fn packed(mut bytes: &'a [u8], eight: bool) -> impl Iterator<Item = Self> {
        std::iter::from_fn(move || {
            if eight {
                let (number, rest) = bytes.split_first_chunk()?;
                bytes = rest;
                return Some(Self::Number(u64::from_le_bytes(*number)));
            }
            varint(&mut bytes).map(Self::Number)
        })
    }
}

/// A number in groups of seven bits, the lowest first.
fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for at in 0..10 {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        // The tenth holds the last bit.
        if at == 9 && *byte > 1 {
            return None;
        }
        number |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

/// Writes a number in groups of seven bits.
pub(crate) fn put_varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}
