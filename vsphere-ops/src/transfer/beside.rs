//! A checksum that is computed beside the transfer: a connection waits for no sum.

use std::io;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures::FutureExt as _;
use tokio::task::JoinHandle;

use super::checksum::{Checksum, Hasher};

/// How many bytes are summed up at once, and how many may wait for that.
const BATCH: usize = 512 << 10;
const MOST: usize = 2 << 20;

/// Sums up pieces on another thread, in their order.
pub(crate) struct Beside {
    at: At,
    waiting: Vec<Bytes>,
    bytes: usize,
}

enum At {
    /// Nothing is being summed up. `None` where nothing is to be.
    Rest(Option<Box<Hasher>>),
    Busy(JoinHandle<Box<Hasher>>),
}

impl Beside {
    pub(crate) fn new(hasher: Hasher) -> Self {
        Self { at: At::Rest(Some(hasher).filter(Hasher::computes).map(Box::new)), waiting: Vec::new(), bytes: 0 }
    }

    /// Takes a piece. Ask [`poll_room`](Self::poll_room) before the next.
    pub(crate) fn add(&mut self, piece: &Bytes) {
        if !matches!(self.at, At::Rest(None)) {
            self.bytes += piece.len();
            self.waiting.push(piece.clone());
        }
    }

    /// Ready where the next piece can be taken.
    ///
    /// # Errors
    /// The thread has failed.
    pub(crate) fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.bytes < BATCH {
            return Poll::Ready(Ok(()));
        }
        match self.poll_rest(cx) {
            Poll::Ready(rested) => {
                rested?;
                self.go_on();
                Poll::Ready(Ok(()))
            }
            Poll::Pending if self.bytes < MOST => Poll::Ready(Ok(())),
            Poll::Pending => Poll::Pending,
        }
    }

    /// The checksum of all pieces, where one was to be computed.
    ///
    /// # Errors
    /// It is not the expected one, or the thread has failed.
    pub(crate) fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Checksum>>> {
        loop {
            ready!(self.poll_rest(cx))?;
            if self.bytes >= BATCH {
                self.go_on();
                continue;
            }
            let At::Rest(hasher) = &mut self.at else { continue };
            let Some(mut hasher) = hasher.take() else { return Poll::Ready(Ok(None)) };
            // So little takes less time than another thread would.
            self.waiting.drain(..).for_each(|piece| hasher.update(&piece));
            return Poll::Ready(hasher.finish().map_err(io::Error::other));
        }
    }

    fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let At::Busy(busy) = &mut self.at {
            let done = ready!(busy.poll_unpin(cx));
            self.at = At::Rest(None);
            self.at = At::Rest(Some(done.map_err(io::Error::other)?));
        }
        Poll::Ready(Ok(()))
    }

    fn go_on(&mut self) {
        let At::Rest(hasher) = &mut self.at else { return };
        let Some(mut hasher) = hasher.take() else { return };
        let batch = std::mem::take(&mut self.waiting);
        self.bytes = 0;
        self.at = At::Busy(tokio::task::spawn_blocking(move || {
            batch.iter().for_each(|piece| hasher.update(piece));
            hasher
        }));
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::super::checksum::{Algorithm, Check};
    use super::*;

    async fn sum(check: Check, content: &[u8], piece: usize) -> io::Result<Option<Checksum>> {
        let mut beside = Beside::new(check.hasher());
        for piece in content.chunks(piece) {
            poll_fn(|cx| beside.poll_room(cx)).await?;
            beside.add(&Bytes::copy_from_slice(piece));
            assert!(beside.bytes <= MOST + piece.len());
        }
        poll_fn(|cx| beside.poll_finish(cx)).await
    }

    #[tokio::test]
    async fn the_sum_is_that_of_all_pieces_in_their_order() {
        let content: Vec<u8> = (0..1_500_000_u32).flat_map(u32::to_le_bytes).collect();
        for (length, piece) in [(0, 1), (100, 7), (BATCH, BATCH), (BATCH + 1, 100_000), (content.len(), 16_384)] {
            let expected = Checksum::of_bytes(Algorithm::Sha256, &content[..length]);
            let found = sum(Check::by(Algorithm::Sha256), &content[..length], piece).await.unwrap();
            assert_eq!(found, Some(expected), "{length} bytes by {piece}");
        }
        assert_eq!(sum(Check::NONE, &content, 100_000).await.unwrap(), None);
        let other = Check::against(Checksum::of_nothing(Algorithm::Sha1));
        assert!(sum(other, &content, 100_000).await.unwrap_err().to_string().contains("checksum"));
    }
}
