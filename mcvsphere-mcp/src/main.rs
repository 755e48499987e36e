//! The program `mcvsphere`: serves MCP on standard input and output, or calls a tool from the command line.

use std::process::ExitCode;

fn main() -> ExitCode {
    mcvsphere_mcp::cli::main()
}
