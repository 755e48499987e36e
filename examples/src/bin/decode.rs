//! Prints a recorded SOAP answer as JSON in the style of VMware's VI JSON.
//!
//! ```text
//! cargo run -p examples --bin decode -- answer.xml
//! ```
#![allow(clippy::print_stderr, reason = "a command line program says on stderr why it fails")]

use std::error::Error;
use std::io::{self, BufWriter, Read as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use serde_json::json;
use vsphere_model::{Answer, read_answer};
use vsphere_soap::json::AsJson;
use vsphere_soap::object::Value;

/// Print a recorded SOAP answer of a vCenter or ESXi as JSON.
#[derive(Parser)]
struct Args {
    /// The file of the answer; standard input when not given.
    file: Option<PathBuf>,
    /// Print a fault as JSON too, instead of failing.
    #[arg(long)]
    fault: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // A server's text may have line breaks; the message is one line.
            let line = error.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
            let source = args.file.map_or("standard input".to_owned(), |file| file.display().to_string());
            eprintln!("decode: {source}: {line}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<(), Box<dyn Error>> {
    let document = match &args.file {
        Some(file) => std::fs::read(file)?,
        None => {
            let mut document = Vec::new();
            io::stdin().read_to_end(&mut document)?;
            document
        }
    };
    let mut out = BufWriter::new(io::stdout().lock());
    match read_answer(&document)? {
        Answer::Result { value, .. } => serde_json::to_writer_pretty(&mut out, &AsJson::any(&value))?,
        Answer::Fault(fault) if args.fault => {
            let detail = fault.detail.as_ref().map(|detail| serde_json::to_value(AsJson::new(Value::Poly(detail))));
            let fault = json!({"faultcode": fault.code, "faultstring": fault.reason, "detail": detail.transpose()?});
            serde_json::to_writer_pretty(&mut out, &fault)?;
        }
        Answer::Fault(fault) => return Err(format!("the answer is a fault: {fault}").into()),
    }
    writeln!(out)?;
    Ok(out.flush()?)
}
