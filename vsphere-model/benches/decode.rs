//! How fast typed decoding is, beside what the tokenizer alone takes. Run by `cargo xtask bench decode`.
#![allow(clippy::print_stdout, reason = "a benchmark speaks by printing")]

mod common;

use std::error::Error;
use std::hint::black_box;
use std::time::{Duration, Instant};

use quick_xml::Reader;
use quick_xml::events::Event;

fn main() -> Result<(), Box<dyn Error>> {
    let document = common::input()?;
    let runs: usize = common::option("--runs").map_or(Ok(15), |n| n.parse())?;
    let (mut typed, mut tokens) = (Vec::new(), Vec::new());
    // The two take turns, so that a noisy neighbour slows both.
    for _ in 0..runs.max(1) {
        tokens.push(time(|| token_loop(&document))?);
        typed.push(time(|| vsphere_model::read_answer(document.as_bytes()))?);
    }
    let megabytes = document.len() as f64 / 1e6;
    let mut rates = [&mut typed, &mut tokens].into_iter().map(|times| {
        times.sort();
        let rate = |time: Duration| megabytes / time.as_secs_f64();
        (rate(times[0]), rate(times[times.len() / 2]))
    });
    let (typed, tokens) = (rates.next().unwrap_or_default(), rates.next().unwrap_or_default());
    println!("input MB: {megabytes:.1}");
    println!("runs: {runs}");
    println!("typed decode MB/s, best: {:.0}", typed.0);
    println!("typed decode MB/s, median: {:.0}", typed.1);
    println!("quick-xml token loop MB/s, best: {:.0}", tokens.0);
    println!("quick-xml token loop MB/s, median: {:.0}", tokens.1);
    println!("typed decode of token loop %, best: {:.0}", 100.0 * typed.0 / tokens.0);
    println!("typed decode of token loop %, median: {:.0}", 100.0 * typed.1 / tokens.1);
    Ok(())
}

/// The time of one run, without that of dropping its result.
fn time<T, E: Error + 'static>(run: impl FnOnce() -> Result<T, E>) -> Result<Duration, Box<dyn Error>> {
    let start = Instant::now();
    let result = run();
    let time = start.elapsed();
    black_box(result?);
    Ok(time)
}

/// Reads every token with the tokenizer's default settings and does nothing with it.
fn token_loop(document: &str) -> Result<usize, quick_xml::Error> {
    let mut reader = Reader::from_str(document);
    let mut count = 0;
    loop {
        match black_box(reader.read_event()?) {
            Event::Eof => return Ok(count),
            _ => count += 1,
        }
    }
}
