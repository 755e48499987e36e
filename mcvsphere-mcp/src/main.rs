//! The program `mcvsphere`: serves MCP on standard input and output, or calls a tool from the command line.

use std::process::ExitCode;

/// The C library of static binaries has an allocator that makes threads wait for each other.
#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    mcvsphere_mcp::cli::main()
}
