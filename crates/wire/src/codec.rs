//! The gRPC codec of all services: prost, behind the field bounds.

use crate::bounds::{self, BoundError};
use crate::rejection::{Reason, Rejection};
use prost::bytes::Buf as _;
use prost::{Message, Name};
use std::marker::PhantomData;
use tonic::Status;
use tonic::codec::{Codec, DecodeBuf, Decoder};
use tonic_prost::{ProstCodec, ProstEncoder};

/// Encodes as prost does; decodes only what keeps every bound of [`crate::limits`], checked on the bytes first.
///
/// A 4 MiB message of empty sub-messages would decode into 160 MiB; here it costs one pass over its bytes.
#[derive(Debug)]
pub struct BoundedCodec<T, U> {
    types: PhantomData<(T, U)>,
}

impl<T, U> Default for BoundedCodec<T, U> {
    fn default() -> Self {
        Self { types: PhantomData }
    }
}

impl<T, U> Codec for BoundedCodec<T, U>
where
    T: Message + Send + 'static,
    U: Message + Name + Default + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = ProstEncoder<T>;
    type Decoder = BoundedDecoder<U>;

    fn encoder(&mut self) -> Self::Encoder {
        ProstCodec::<T, U>::default().encoder()
    }

    fn decoder(&mut self) -> Self::Decoder {
        BoundedDecoder { message: PhantomData }
    }
}

/// The decoding half of [`BoundedCodec`].
#[derive(Debug)]
pub struct BoundedDecoder<U> {
    message: PhantomData<U>,
}

impl<U: Message + Name + Default> Decoder for BoundedDecoder<U> {
    type Item = U;
    type Error = Status;

    fn decode(&mut self, buf: &mut DecodeBuf<'_>) -> Result<Option<U>, Status> {
        // Shares the transport's buffer when that is one piece, which it is for a message in one frame.
        let bytes = buf.copy_to_bytes(buf.remaining());
        decode(&bytes).map(Some).map_err(|error| Rejection::from(error).into())
    }
}

/// Decodes a message of `dovetail.v1` whose bytes keep every bound.
pub fn decode<U: Message + Name + Default>(bytes: &[u8]) -> Result<U, BoundError> {
    bounds::check::<U>(bytes)?;
    U::decode(bytes).map_err(|error| BoundError::Malformed { message: U::NAME, reason: error.to_string() })
}

impl From<BoundError> for Rejection {
    fn from(error: BoundError) -> Self {
        let reason = match &error {
            BoundError::Count { .. } | BoundError::Bytes { .. } | BoundError::Depth => Reason::OverBound,
            BoundError::Malformed { .. } | BoundError::UnknownMessage { .. } => Reason::Malformed,
        };
        Self::new(reason, error.to_string())
    }
}
