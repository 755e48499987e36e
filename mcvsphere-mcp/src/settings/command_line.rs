//! Settings on the command line.

use std::ffi::{OsStr, OsString};

use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches, value_parser};

use super::{ALL, name, table::Setting};

/// Settings on the command line; each wins over the environment variable of the same name, and that over the file.
///
/// The password is not among them: every user of a machine sees the command lines of all.
#[derive(Debug, Clone, Default)]
pub struct SettingArgs {
    given: Vec<(&'static str, OsString)>,
}

/// The option that is short for `--confirm never`.
const YES: &str = "yes";

impl SettingArgs {
    /// What was given for a setting.
    pub(super) fn get(&self, name: &str) -> Option<&OsStr> {
        self.given.iter().find(|(setting, _)| *setting == name).map(|(_, value)| value.as_os_str())
    }
}

impl Args for SettingArgs {
    fn augment_args(command: Command) -> Command {
        let yes = Arg::new(YES)
            .long(YES)
            .global(true)
            .action(ArgAction::SetTrue)
            .conflicts_with(name::MCP_CONFIRM)
            .help("Never ask: the same as `--confirm never`");
        let secrets: Vec<&str> = ALL.iter().filter(|setting| setting.secret).map(|setting| setting.name).collect();
        command
            .next_help_heading(format!("Settings ({} come from the environment or the file)", secrets.join(", ")))
            .args(ALL.iter().filter_map(argument))
            .arg(yes)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for SettingArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let value = |setting: &Setting| Some((setting.name, matches.get_one::<OsString>(setting.name)?.clone()));
        let mut given: Vec<_> = ALL.iter().filter(|setting| setting.option().is_some()).filter_map(value).collect();
        if matches.get_flag(YES) {
            given.push((name::MCP_CONFIRM, "never".into()));
        }
        Ok(Self { given })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// The option of a setting.
fn argument(setting: &Setting) -> Option<Arg> {
    let option = setting.option()?;
    let default = setting.default.map(|default| format!(" [default: {default}]")).unwrap_or_default();
    let help = format!("{} [env: {}]{default}", setting.help(), setting.name);
    // What is no UTF-8 is refused with the setting's name, as in the environment.
    let text = value_parser!(OsString);
    let argument = Arg::new(setting.name).long(option.clone()).global(true).value_name(setting.value);
    let argument = argument.value_parser(text).help(help);
    // The variable's name in full works, too.
    let full = setting.name.to_lowercase().replace('_', "-");
    let argument = if full == option { argument } else { argument.alias(full) };
    Some(match setting.switch {
        true => argument.num_args(0..=1).require_equals(true).default_missing_value("true"),
        false => argument,
    })
}
