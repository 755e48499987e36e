//! `mcvsphere token`: bearer tokens of the settings file.

use std::{io, process::ExitCode};

use anyhow::anyhow;
use chrono::{TimeDelta, Utc};
use clap::Subcommand;
use serde_json::json;

use crate::{
    Permission, Settings,
    http::{self, tokens},
    settings::Kind as _,
};

#[derive(Debug, Subcommand)]
pub(super) enum TokenCommand {
    /// Print a new token, which is not shown again, and its entry for the settings file
    New {
        /// Who or what calls with it, as the audit names them
        name: String,
        /// What they may do: read_only, power_ops, vm_lifecycle, host_admin or full_admin
        #[arg(long, value_parser = Permission::read)]
        level: Permission,
        /// Days until it expires
        #[arg(long, value_name = "N", default_value_t = 90, value_parser = clap::value_parser!(u32).range(1..=3650))]
        days: u32,
        /// Print it as JSON
        #[arg(long)]
        json: bool,
    },
}

/// Carries out the command.
///
/// # Errors
/// The name cannot be one, or the output cannot be written.
pub(super) fn run(
    command: TokenCommand,
    settings: &Settings,
    print: impl Fn(&str) -> io::Result<()>,
) -> anyhow::Result<ExitCode> {
    let TokenCommand::New { name, level, days, json } = command;
    tokens::Token::check_name(&name).map_err(|problem| anyhow!("the token {problem}"))?;
    let token = tokens::new_token().map_err(|problem| anyhow!("{problem}"))?;
    let sha256 = tokens::Digest::of(&token);
    let expires = (Utc::now() + TimeDelta::days(i64::from(days))).format("%Y-%m-%dT%H:%M:%SZ");
    let url = http::likely_url(settings);
    if json {
        let token = json!({
            "name": name, "token": token, "level": level, "sha256": sha256.to_string(),
            "expires": expires.to_string(), "url": url,
        });
        print(&serde_json::to_string_pretty(&token)?)?;
    } else {
        print(&format!(
            "{token}\n\n\
             The line above is the token. It is not shown again. Anyone who has it has the permission level {level} until {expires}.\n\n\
             Its entry in the settings file (MCVSPHERE_CONFIG), which counts once mcvsphere is restarted:\n\n\
             tokens:\n  {name}:\n    level: {level}\n    sha256: {sha256}\n    expires: {expires}\n\n\
             In Claude Code:\n\n\
             claude mcp add --transport http mcvsphere {url} --header \"Authorization: Bearer {token}\""
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}
