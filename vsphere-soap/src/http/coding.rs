//! The body of an answer as it arrives, unpacked where it is compressed, and never larger than allowed.

use std::io::{self, Write};

use flate2::write::GzDecoder;

/// What an answer may be compressed by, as `Accept-Encoding` says it.
pub(super) const ACCEPTED: &str = "gzip";

/// A body that is being received. The limit counts what is unpacked, so that a small answer can't become a large one.
pub(super) enum Incoming {
    Plain(Bounded),
    Gzip(Box<GzDecoder<Bounded>>),
}

/// Why no more of a body is taken.
#[derive(Debug)]
pub(super) enum Refusal {
    TooLarge,
    Corrupt(io::Error),
}

impl Incoming {
    pub(super) fn plain(limit: u64, expected: usize) -> Self {
        Self::Plain(Bounded { bytes: Vec::with_capacity(expected), limit })
    }

    pub(super) fn gzip(limit: u64) -> Self {
        Self::Gzip(Box::new(GzDecoder::new(Bounded { bytes: Vec::new(), limit })))
    }

    /// Takes the next bytes of the answer.
    pub(super) fn push(&mut self, chunk: &[u8]) -> Result<(), Refusal> {
        let pushed = match self {
            Self::Plain(body) => body.write_all(chunk),
            Self::Gzip(decoder) => decoder.write_all(chunk),
        };
        pushed.map_err(|error| self.refusal(error))
    }

    /// How many bytes there are so far.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Plain(body) => body.bytes.len(),
            Self::Gzip(decoder) => decoder.get_ref().bytes.len(),
        }
    }

    /// The body, once all of the answer was taken.
    pub(super) fn finish(mut self) -> Result<Vec<u8>, Refusal> {
        if let Self::Gzip(decoder) = &mut self
            && let Err(error) = decoder.try_finish()
        {
            return Err(self.refusal(error));
        }
        Ok(self.into_received())
    }

    /// What there is of the body, whether that is all or not.
    pub(super) fn into_received(mut self) -> Vec<u8> {
        let body = match &mut self {
            Self::Plain(body) => body,
            Self::Gzip(decoder) => {
                // What was unpacked is handed on late; of what is cut off the beginning is as good as it gets.
                let _ = decoder.try_finish();
                decoder.get_mut()
            }
        };
        std::mem::take(&mut body.bytes)
    }

    fn refusal(&self, error: io::Error) -> Refusal {
        if error.kind() == io::ErrorKind::FileTooLarge { Refusal::TooLarge } else { Refusal::Corrupt(error) }
    }
}

/// Bytes, of which there are at most so many.
pub(super) struct Bounded {
    bytes: Vec<u8>,
    limit: u64,
}

impl Write for Bounded {
    fn write(&mut self, some: &[u8]) -> io::Result<usize> {
        if (self.bytes.len() + some.len()) as u64 > self.limit {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(some);
        Ok(some.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a panic in a test is its failure report")]

    use flate2::{Compression, write::GzEncoder};

    use super::*;

    fn packed(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn unpack(packed: &[u8], limit: u64) -> Result<Vec<u8>, Refusal> {
        let mut body = Incoming::gzip(limit);
        for piece in packed.chunks(7) {
            body.push(piece)?;
        }
        body.finish()
    }

    #[test]
    fn the_limit_counts_what_is_unpacked() {
        let zeros = vec![0; 1 << 20];
        let small = packed(&zeros);
        assert!(small.len() < 8 << 10, "{} bytes", small.len());
        assert_eq!(unpack(&small, 1 << 20).unwrap(), zeros);
        assert!(matches!(unpack(&small, (1 << 20) - 1), Err(Refusal::TooLarge)));
    }

    #[test]
    fn a_compressed_body_that_is_cut_or_damaged_is_no_body() {
        let whole = packed(b"<Envelope/>".repeat(50).as_slice());
        for length in 0..whole.len() {
            assert!(matches!(unpack(&whole[..length], 1000), Err(Refusal::Corrupt(_))), "cut at {length}");
        }
        let mut damaged = whole.clone();
        *damaged.last_mut().unwrap() ^= 1;
        assert!(matches!(unpack(&damaged, 1000), Err(Refusal::Corrupt(_))));
    }
}
