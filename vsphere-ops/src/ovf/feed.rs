//! The content of a file as a lease takes it: chunks in a row, unpacked, and checked as it goes by.

use std::io::{self, Write as _};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use flate2::write::MultiGzDecoder;
use futures::stream::{self, Fuse};
use futures::{Stream, StreamExt as _};

use super::package::Part;
use crate::transfer::{Beside, Pieces, mismatch_of};

/// The content of these parts, one after the other. With `checked`, the stream fails at the end of the first part that is
/// not as the manifest says.
pub(super) fn content(parts: &[Part], packed: bool, checked: bool) -> Pieces {
    let parts: Vec<Part> = parts.to_vec();
    let pieces = stream::iter(parts).flat_map(move |part| {
        let pieces = part.stream();
        if checked { Checked::new(pieces, &part).boxed() } else { pieces }
    });
    match packed {
        true => Unpacked::new(pieces.boxed()).boxed(),
        false => pieces.boxed(),
    }
}

/// A part whose checksum is computed as it goes by.
struct Checked {
    pieces: Fuse<Pieces>,
    /// Until the end.
    sum: Option<Beside>,
    name: String,
}

impl Checked {
    fn new(pieces: Pieces, part: &Part) -> Self {
        Self { pieces: pieces.fuse(), sum: Some(Beside::new(part.check().hasher())), name: part.name().to_owned() }
    }
}

impl Stream for Checked {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        let Some(sum) = &mut this.sum else { return Poll::Ready(None) };
        if let Err(error) = ready!(sum.poll_room(cx)) {
            return Poll::Ready(Some(Err(error)));
        }
        match ready!(this.pieces.poll_next_unpin(cx)) {
            Some(Ok(piece)) => {
                sum.add(&piece);
                Poll::Ready(Some(Ok(piece)))
            }
            Some(Err(error)) => Poll::Ready(Some(Err(error))),
            None => {
                let summed_up = ready!(sum.poll_finish(cx));
                this.sum = None;
                Poll::Ready(summed_up.err().map(|error| Err(mismatch_of(error, &this.name))))
            }
        }
    }
}

/// How many packed bytes are unpacked at once: they grow by a factor of a thousand at most.
const SLICE: usize = 4 << 10;

/// What a packed stream holds.
struct Unpacked {
    pieces: Pieces,
    /// What came and is still packed.
    rest: Bytes,
    /// Until the end.
    decoder: Option<MultiGzDecoder<Vec<u8>>>,
}

impl Unpacked {
    fn new(pieces: Pieces) -> Self {
        Self { pieces, rest: Bytes::new(), decoder: Some(MultiGzDecoder::new(Vec::new())) }
    }
}

impl Stream for Unpacked {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        loop {
            let Some(decoder) = &mut this.decoder else { return Poll::Ready(None) };
            if this.rest.is_empty() {
                match ready!(this.pieces.as_mut().poll_next(cx)) {
                    Some(Ok(piece)) => this.rest = piece,
                    Some(Err(error)) => {
                        this.decoder = None;
                        return Poll::Ready(Some(Err(error)));
                    }
                    None => {
                        let ended = this.decoder.take().map_or_else(|| Ok(Vec::new()), MultiGzDecoder::finish);
                        return match ended {
                            Ok(last) if last.is_empty() => Poll::Ready(None),
                            Ok(last) => Poll::Ready(Some(Ok(last.into()))),
                            Err(error) => Poll::Ready(Some(Err(broken(&error)))),
                        };
                    }
                }
            }
            let slice = this.rest.split_to(this.rest.len().min(SLICE));
            if let Err(error) = decoder.write_all(&slice) {
                this.decoder = None;
                return Poll::Ready(Some(Err(broken(&error))));
            }
            let unpacked = std::mem::take(decoder.get_mut());
            if !unpacked.is_empty() {
                return Poll::Ready(Some(Ok(unpacked.into())));
            }
        }
    }
}

fn broken(error: &io::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the file can't be unpacked: {error}"))
}

#[cfg(test)]
mod tests {
    use flate2::{Compression, write::GzEncoder};
    use futures::TryStreamExt as _;

    use super::*;

    fn packed(content: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }

    async fn unpack(bytes: Vec<u8>, piece: usize) -> io::Result<(Vec<u8>, usize)> {
        let pieces: Vec<_> = bytes.chunks(piece).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
        let mut unpacked = Unpacked::new(stream::iter(pieces).boxed());
        let (mut all, mut longest) = (Vec::new(), 0);
        while let Some(piece) = unpacked.try_next().await? {
            longest = longest.max(piece.len());
            all.extend_from_slice(&piece);
        }
        Ok((all, longest))
    }

    #[tokio::test]
    async fn what_was_packed_comes_back_and_a_bomb_does_not_fill_the_memory() {
        let content: Vec<u8> = (0..400_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
        assert!(unpack(packed(&content), 1000).await.unwrap().0 == content);
        // Two packed streams in a row are one content.
        let twice = [packed(b"one "), packed(b"two")].concat();
        assert_eq!(unpack(twice, 3).await.unwrap().0, b"one two");
        let (zeros, longest) = unpack(packed(&vec![0; 64 << 20]), 1 << 20).await.unwrap();
        assert!(zeros.len() == 64 << 20 && longest <= 8 << 20, "{longest}");
        let whole = packed(&content);
        assert!(unpack(whole[..whole.len() / 2].to_vec(), 1000).await.is_err(), "cut");
        assert!(unpack(b"not packed".to_vec(), 10).await.is_err());
    }
}
