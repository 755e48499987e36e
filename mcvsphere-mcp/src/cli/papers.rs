//! What a shell and `man` know of the command line.

use std::{io, path::Path, process::ExitCode};

use anyhow::Context;
use clap::Command;
use clap_complete::Shell;

/// Prints the script that completes commands in a shell.
///
/// # Errors
/// It cannot be printed.
pub(super) fn completions(
    mut command: Command,
    shell: Shell,
    print: impl Fn(&str) -> io::Result<()>,
) -> anyhow::Result<ExitCode> {
    let mut script = Vec::new();
    let name = command.get_name().to_owned();
    clap_complete::generate(shell, &mut command, name, &mut script);
    print(String::from_utf8_lossy(&script).trim_end())?;
    Ok(ExitCode::SUCCESS)
}

/// Writes a page for the program and each of its commands.
///
/// # Errors
/// A page cannot be written.
pub(super) fn manual(command: Command, directory: &Path) -> anyhow::Result<ExitCode> {
    clap_mangen::generate_to(command.disable_help_subcommand(true), directory)
        .with_context(|| format!("the manual pages cannot be written to {}", directory.display()))?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a panic in a test is its failure report")]

    use std::{cell::RefCell, fs};

    use clap::CommandFactory;

    use super::*;
    use crate::cli::Cli;

    #[test]
    fn every_shell_completes_commands_and_settings() {
        for (shell, has) in [
            (Shell::Bash, "--vcenter-host"),
            (Shell::Zsh, "--vcenter-host"),
            (Shell::Fish, "-l vcenter-host"),
            (Shell::PowerShell, "--vcenter-host"),
        ] {
            let printed = RefCell::new(String::new());
            let print = |text: &str| {
                printed.borrow_mut().push_str(text);
                Ok(())
            };
            completions(Cli::command(), shell, print).unwrap();
            let script = printed.into_inner();
            for part in [has, "doctor"] {
                assert!(script.contains(part), "{shell}: {part}");
            }
        }
    }

    #[test]
    fn each_command_has_a_page() {
        let directory = std::env::temp_dir().join(format!("mcvsphere-man-{:016x}", fastrand::u64(..)));
        fs::create_dir(&directory).unwrap();
        manual(Cli::command(), &directory).unwrap();
        let page = |name: &str| fs::read_to_string(directory.join(name)).unwrap();
        assert!(page("mcvsphere.1").contains("MCP_TRANSPORT"));
        assert!(page("mcvsphere-doctor.1").contains("Check the connection"));
        fs::remove_dir_all(&directory).unwrap();
    }
}
