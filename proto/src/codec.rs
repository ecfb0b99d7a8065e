//! What gRPC reads and writes messages with: as `tonic_prost` has it, but a large request that would take too much
//! memory is refused before it is read.
//!
//! Only requests are looked at: who asks trusts whom it asks. A small one cannot take much.

use prost::bytes::Buf;
use prost::{Message, Name};
use tonic::Status;
use tonic::codec::{BufferSettings, Codec, DecodeBuf, Decoder};
use tonic_prost::ProstCodec;

use crate::binary;

/// From this size on a request is looked at. In bytes.
const LARGE: usize = 64 << 10;

/// Writes `T` and reads `U`.
#[derive(Debug)]
pub struct Bounded<T, U>(ProstCodec<T, U>);

/// Reads messages.
#[derive(Debug)]
pub struct BoundedDecoder<D>(D);

impl<T, U> Default for Bounded<T, U> {
    fn default() -> Self {
        Self(ProstCodec::new())
    }
}

impl<T, U> Codec for Bounded<T, U>
where
    T: Message + Send + 'static,
    U: Message + Name + Default + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = <ProstCodec<T, U> as Codec>::Encoder;
    type Decoder = BoundedDecoder<<ProstCodec<T, U> as Codec>::Decoder>;

    fn encoder(&mut self) -> Self::Encoder {
        self.0.encoder()
    }

    fn decoder(&mut self) -> Self::Decoder {
        BoundedDecoder(self.0.decoder())
    }
}

impl<D> Decoder for BoundedDecoder<D>
where
    D: Decoder<Error = Status, Item: Name>,
{
    type Item = D::Item;
    type Error = Status;

    fn decode(&mut self, bytes: &mut DecodeBuf<'_>) -> Result<Option<D::Item>, Status> {
        if bytes.remaining() >= LARGE
            && (D::Item::NAME.ends_with("Call") || D::Item::NAME.ends_with("Request"))
        {
            // A message is in one piece.
            binary::bounded::<D::Item>(bytes.chunk())
                .map_err(|error| Status::resource_exhausted(error.to_string()))?;
        }
        self.0.decode(bytes)
    }

    fn buffer_settings(&self) -> BufferSettings {
        self.0.buffer_settings()
    }
}
