//! Lines from a reader, each of a limited length.

use std::{io, mem};

use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};

/// The longest line that is held in memory, in bytes.
pub(super) const LONGEST: usize = 16 << 20;

/// What is kept of either end of a line that is longer, to find in it which request it was.
const KEPT: usize = 4096;

/// What comes next.
pub(super) enum Line {
    /// A line without its newline, or the end of the input where that has no newline.
    Whole(Vec<u8>),
    /// A line that is longer than the limit: how it begins and ends.
    TooLong { head: Vec<u8>, tail: Vec<u8> },
    /// Nothing more comes.
    End,
}

pub(super) struct Lines<R> {
    input: BufReader<R>,
    /// What was read of a line.
    line: Vec<u8>,
    /// The beginning of a line that is too long, while its rest is read.
    head: Option<Vec<u8>>,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    pub(super) fn new(reader: R) -> Self {
        Self { input: BufReader::with_capacity(1 << 16, reader), line: Vec::new(), head: None }
    }

    /// The next line. May be dropped and called again at any time: what was read is kept.
    ///
    /// # Errors
    /// Those of the reader.
    pub(super) async fn next(&mut self) -> io::Result<Line> {
        loop {
            let available = self.input.fill_buf().await?;
            let newline = available.iter().position(|byte| *byte == b'\n');
            let piece = &available[..newline.unwrap_or(available.len())];
            let at_end = available.is_empty();
            let taken = newline.map_or(available.len(), |at| at + 1);
            if self.head.is_none() && self.line.len() + piece.len() > LONGEST {
                self.line.extend_from_slice(&piece[..piece.len().min(KEPT)]);
                self.line.truncate(KEPT);
                self.head = Some(mem::take(&mut self.line));
            }
            self.line.extend_from_slice(piece);
            if self.head.is_some() {
                self.line.drain(..self.line.len().saturating_sub(KEPT));
            }
            self.input.consume(taken);
            if newline.is_none() && !at_end {
                continue;
            }
            let line = mem::take(&mut self.line);
            return Ok(match self.head.take() {
                Some(head) => Line::TooLong { head, tail: line },
                None if at_end && line.is_empty() => Line::End,
                None => Line::Whole(line),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_line_ends_with_its_newline_or_with_the_input() {
        let mut lines = Lines::new(&b"one\n\ntwo\r\nthree"[..]);
        for expected in ["one", "", "two\r", "three"] {
            let Line::Whole(line) = lines.next().await.unwrap() else { panic!("no line for {expected}") };
            assert_eq!(String::from_utf8(line).unwrap(), expected);
        }
        assert!(matches!(lines.next().await.unwrap(), Line::End));
    }

    #[tokio::test]
    async fn of_a_line_that_is_too_long_both_ends_are_kept() {
        let long = format!("head{}tail\nnext\n", "x".repeat(LONGEST));
        let mut lines = Lines::new(long.as_bytes());
        let Line::TooLong { head, tail } = lines.next().await.unwrap() else { panic!("not too long") };
        assert!(head.starts_with(b"headxxx") && tail.ends_with(b"xxxtail"));
        assert!(head.len() <= KEPT && tail.len() <= KEPT);
        assert!(matches!(lines.next().await.unwrap(), Line::Whole(line) if line == b"next"));
    }
}
