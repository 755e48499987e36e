//! The settings as a whole: sources, checks, and the table of docs/settings.md.

use clap::{Args as _, FromArgMatches as _};

use super::*;

fn read(environment: &[(&str, &str)]) -> Result<Settings, SettingsError> {
    read_with(&SettingArgs::default(), environment)
}

fn read_with(arguments: &SettingArgs, environment: &[(&str, &str)]) -> Result<Settings, SettingsError> {
    Settings::new(arguments, |name| {
        environment.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
    })
}

const BASE: &[(&str, &str)] = &[("VCENTER_HOST", "vc"), ("VCENTER_USER", "u"), ("VCENTER_PASSWORD", "p")];

/// The settings on a command line.
fn arguments(options: &[&str]) -> SettingArgs {
    try_arguments(options).unwrap()
}

fn try_arguments(options: &[&str]) -> Result<SettingArgs, clap::Error> {
    let command = SettingArgs::augment_args(clap::Command::new("mcvsphere"));
    let matches = command.try_get_matches_from(["mcvsphere"].iter().chain(options))?;
    SettingArgs::from_arg_matches(&matches)
}

#[test]
fn the_command_line_wins_over_the_environment() {
    let arguments = arguments(&["--vcenter-host", "b"]);
    let settings = read_with(&arguments, &[("VCENTER_HOST", "a"), ("VCENTER_USER", "u")]);
    let settings = settings.unwrap();
    assert_eq!(settings.host(), Some("b"));
    assert_eq!(settings.user(), Some("u"));
}

#[test]
fn the_password_may_be_kept_in_a_file() {
    let path = std::env::temp_dir().join(format!("mcvsphere-password-{}", std::process::id()));
    let kept = path.to_str().unwrap();
    let read_file = || {
        let settings = [("VCENTER_HOST", "vc"), ("VCENTER_USER", "u"), ("VCENTER_PASSWORD_FILE", kept)];
        read(&settings).unwrap().vsphere_password().map_err(|error| error.to_string())
    };
    std::fs::write(&path, " p w \n").unwrap();
    assert_eq!(read_file().unwrap().as_deref(), Some(" p w "));
    std::fs::write(&path, "\n").unwrap();
    assert!(read_file().unwrap_err().starts_with("VCENTER_PASSWORD_FILE names the file"));
    let both = read(&[("VCENTER_PASSWORD", "hunter2"), ("VCENTER_PASSWORD_FILE", kept)]).unwrap_err().to_string();
    assert_eq!(both, "VCENTER_PASSWORD_FILE contradicts VCENTER_PASSWORD: set one of the two");
    std::fs::remove_file(&path).unwrap();
    let entry = read(&[("VCENTER_PASSWORD_KEYRING", "nobody")]).unwrap().vsphere_password().unwrap_err().to_string();
    assert!(entry.starts_with("VCENTER_PASSWORD_KEYRING cannot be used: "), "{entry}");
}

#[test]
fn an_error_names_the_setting() {
    for (setting, value) in [
        ("VCENTER_INSECURE", "maybe"),
        ("VCENTER_THUMBPRINT", "12:34"),
        ("VCENTER_CA_FILE", "/no/such/file"),
        ("MCP_FILES", "/no/such/directory"),
        ("MCP_URLS", "images.example, a/b"),
        ("MCP_CALL_TIMEOUT", "0"),
        ("LOG_LEVEL", "loud"),
        ("MCP_TOOLSETS", "vm,pwoer"),
        ("MCP_READ_ONLY", "perhaps"),
        ("MCP_PERMISSION", "admin"),
        ("MCP_CONFIRM", "sometimes"),
        ("MCVSPHERE_CONFIG", "/no/such/file"),
    ] {
        let error = read(&[(setting, value)]).unwrap_err().to_string();
        assert!(error.starts_with(setting), "{error}");
    }
    let print = "a".repeat(40);
    let both = read(&[("VCENTER_INSECURE", "1"), ("VCENTER_THUMBPRINT", &print)]);
    assert!(both.unwrap_err().to_string().contains("VCENTER_THUMBPRINT"));
}

#[test]
fn what_is_missing_is_named_when_it_is_needed() {
    let missing =
        |environment: &[(&str, &str)]| read(environment).unwrap().vsphere().err().map(|error| error.to_string());
    let neither = missing(&[]).unwrap();
    assert!(neither.starts_with("VCENTER_HOST is not set") && neither.contains("--sim"), "{neither}");
    let host = ("VCENTER_HOST", "a");
    assert_eq!(missing(&[host]).as_deref(), Some("VCENTER_USER is not set"));
    let user = ("VCENTER_USER", "u");
    assert_eq!(missing(&[host, user]).as_deref(), Some("VCENTER_PASSWORD is not set"));
    assert_eq!(missing(&[host, user, ("VCENTER_PASSWORD", "p")]), None);
}

#[test]
fn the_environment_wins_over_the_file() {
    let path = std::env::temp_dir().join(format!("mcvsphere-settings-{}.yaml", std::process::id()));
    std::fs::write(&path, "vcenter_host: a\nvcenter_password: p\nmcp_toolsets: [vm, power]\nlog_level: loud\n")
        .unwrap();
    let settings = read(&[
        ("MCVSPHERE_CONFIG", path.to_str().unwrap()),
        ("VCENTER_HOST", "b"),
        ("LOG_LEVEL", "info"),
        ("VCENTER_DATASTORE", "nvme"),
    ]);
    std::fs::remove_file(&path).unwrap();
    let settings = settings.unwrap();
    assert_eq!(settings.host(), Some("b"));
    assert_eq!(settings.password(), Some("p"));
    assert_eq!(settings.offer().toolsets, [Toolset::Vm, Toolset::Power].into());
    assert_eq!(settings.defaults().datastore.as_deref(), Some("nvme"));
}

#[test]
fn an_unknown_toolset_is_named_with_the_nearest() {
    let error = read(&[("MCP_TOOLSETS", "vm,snapshot")]).unwrap_err().to_string();
    assert_eq!(error, "MCP_TOOLSETS names the unknown toolset `snapshot`, did you mean `snapshots`?");
    let all = read(&[("MCP_TOOLSETS", "all")]).unwrap();
    assert_eq!(all.offer().toolsets.len(), Toolset::ALL.len() - 1);
    let with_api = read(&[("MCP_TOOLSETS", "all,api")]).unwrap();
    assert_eq!(with_api.offer().toolsets.len(), Toolset::ALL.len());
}

#[test]
fn empty_is_not_set() {
    let settings = read(&[("VCENTER_HOST", ""), ("VCENTER_INSECURE", " ")]).unwrap();
    assert_eq!((settings.host(), settings.insecure()), (None, false));
}

#[test]
fn a_placeholder_is_refused_by_name_and_a_password_never_shown() {
    for (setting, value) in [
        ("VCENTER_PASSWORD", "${VCENTER_PASSWORD}"),
        ("VCENTER_PASSWORD", "$VCENTER_PASSWORD"),
        ("VCENTER_PASSWORD", "${input:password}"),
        ("VCENTER_HOST", "<host>"),
        ("VCENTER_USER", "%VCENTER_USER%"),
        ("MCVSPHERE_CONFIG", "${HOME}/mcvsphere.yaml"),
        ("MCP_READ_ONLY", "${READ_ONLY}"),
    ] {
        let error = read(&[(setting, value)]).unwrap_err().to_string();
        assert!(error.starts_with(setting), "{error}");
        assert_eq!(error.contains(value), setting != "VCENTER_PASSWORD", "{error}");
    }
    let settings = read(&[("VCENTER_PASSWORD", "pa$$word${x}")]).unwrap();
    assert_eq!(settings.password(), Some("pa$$word${x}"));
}

#[cfg(unix)]
#[test]
fn what_is_no_utf_8_is_refused_by_name_wherever_it_comes_from() {
    use std::os::unix::ffi::OsStringExt as _;

    let odd = || OsString::from_vec(b"tru\xffe".to_vec());
    for setting in ALL {
        let error = Settings::new(&SettingArgs::default(), |name| (name == setting.name).then(odd)).unwrap_err();
        assert!(error.to_string().starts_with(setting.name), "{error}");
    }
    let mut option = OsString::from("--read-only=");
    option.push(odd());
    let command = SettingArgs::augment_args(clap::Command::new("mcvsphere"));
    let matches = command.try_get_matches_from(["mcvsphere".into(), option]).unwrap();
    let arguments = SettingArgs::from_arg_matches(&matches).unwrap();
    let error = read_with(&arguments, &[]).unwrap_err().to_string();
    assert!(error.starts_with("MCP_READ_ONLY has bytes that are no UTF-8"), "{error}");
}

#[test]
fn what_would_send_the_password_in_clear_is_refused_and_names_the_setting() {
    let pin = "a".repeat(64);
    let ca = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    for (host, more) in [
        ("http://vc", vec![]),
        ("http://127.0.0.1:8989", vec![("VCENTER_THUMBPRINT", pin.as_str())]),
        ("http://127.0.0.1:8989", vec![("VCENTER_CA_FILE", ca)]),
        ("ftp://vc", vec![]),
    ] {
        let error = read(&[&[("VCENTER_HOST", host)], &more[..]].concat()).unwrap_err().to_string();
        assert!(error.starts_with("VCENTER_HOST ") && error.contains("https"), "{error}");
    }
    read(&[("VCENTER_HOST", "http://127.0.0.1:8989")]).unwrap();
    read(&[("VCENTER_HOST", "http://vcsim:8989"), ("VCENTER_INSECURE", "true")]).unwrap();
}

#[test]
fn what_is_less_safe_than_it_could_be_is_said() {
    let warned = |environment: &[(&str, &str)]| {
        let warnings = read(environment).unwrap().warnings();
        warnings.into_iter().map(|(setting, text)| format!("{setting}: {text}")).collect::<Vec<_>>().join("\n")
    };
    assert_eq!(warned(&[("VCENTER_HOST", "vc")]), "");
    assert!(warned(&[("VCENTER_INSECURE", "true")]).contains("VCENTER_INSECURE"));
    assert!(warned(&[("VCENTER_HOST", "http://127.0.0.1")]).contains("in clear"));
    assert!(warned(&[("MCP_CONFIRM", "never")]).contains("MCP_CONFIRM: never: tools act without a question"));
    assert_eq!(warned(&[("MCP_CONFIRM", "never"), ("MCP_READ_ONLY", "1")]), "");
    assert_eq!(warned(&[("MCP_CONFIRM", "never"), ("MCP_PERMISSION", "read_only")]), "");
    let exposed = [("MCP_TRANSPORT", "http"), ("MCP_HOST", "0.0.0.0")];
    assert_eq!(warned(&[("MCP_TRANSPORT", "http")]), "");
    assert!(warned(&exposed).contains("MCP_TLS_CERT: not set"));
    assert_eq!(warned(&[exposed[0], exposed[1], ("MCP_PUBLIC_URL", "https://mcp.example")]), "");
    let anyone = ("MCP_ALLOW_UNAUTHENTICATED", "yes-anyone-may-control-vsphere");
    assert!(warned(&[exposed[0], exposed[1], anyone]).contains("without a token"));
}

#[test]
fn the_proxy_comes_from_the_usual_variables_or_the_file_and_its_password_is_not_shown() {
    let proxy = |environment: &[(&str, &str)]| read(environment).unwrap().proxy_in_use();
    let host = ("VCENTER_HOST", "vc.example.com");
    assert_eq!(proxy(&[host]), None);
    let secret = ("https_proxy", "http://ann:hunter2@proxy:3128");
    assert_eq!(proxy(&[host, secret]).as_deref(), Some("http://proxy:3128"));
    assert_eq!(proxy(&[host, secret, ("NO_PROXY", ".example.com")]), None);
    assert_eq!(proxy(&[("VCENTER_HOST", "localhost"), secret]), None);
    let settings = read(&[host, secret]).unwrap();
    assert!(!format!("{settings:?}").contains("hunter2"));
    let error = read(&[host, ("ALL_PROXY", "socks5://ann:hunter2@proxy")]).unwrap_err().to_string();
    assert!(error.contains("ALL_PROXY") && !error.contains("hunter2"), "{error}");
}

#[test]
fn an_answer_has_at_most_256_mib_or_what_is_set() {
    let most = |environment: &[(&str, &str)]| {
        let settings = read(&[BASE, environment].concat()).unwrap();
        format!("{:?}", settings.vsphere().unwrap())
    };
    assert!(most(&[]).contains("max_answer: 268435456"), "{}", most(&[]));
    assert!(most(&[("VCENTER_MAX_ANSWER_MB", "1")]).contains("max_answer: 1048576"));
    for wrong in ["0", "-1", "1.5", "much"] {
        let error = read(&[("VCENTER_MAX_ANSWER_MB", wrong)]).unwrap_err().to_string();
        assert!(error.starts_with("VCENTER_MAX_ANSWER_MB must be a number of MiB"), "{error}");
    }
}

#[test]
fn the_settings_in_force_say_where_they_come_from_and_no_secret() {
    let settings = read_with(
        &arguments(&["--vcenter-host", "vc"]),
        &[("VCENTER_HOST", "other"), ("VCENTER_PASSWORD", "hunter2"), ("VCENTER_USER", "")],
    );
    let settings = settings.unwrap();
    let shown: Vec<_> = settings.in_force().iter().map(|it| (it.name, it.value.as_str(), it.origin)).collect();
    let expected = [("VCENTER_HOST", "vc", Origin::CommandLine), ("VCENTER_PASSWORD", "***", Origin::Environment)];
    assert_eq!(shown, expected);
}

#[test]
fn debug_shows_no_secret() {
    let settings = read(&[("VCENTER_PASSWORD", "hunter2")]).unwrap();
    assert!(!format!("{settings:?}").contains("hunter2"));
}

#[test]
fn every_setting_but_a_secret_has_an_option_by_its_short_and_its_full_name() {
    for setting in ALL {
        let full = format!("--{}=x", setting.name.to_lowercase().replace('_', "-"));
        let given = try_arguments(&[&full]);
        match setting.option() {
            Some(short) => {
                assert_eq!(given.unwrap().get(setting.name), Some("x".as_ref()), "{full}");
                assert_eq!(arguments(&[&format!("--{short}=x")]).get(setting.name), Some("x".as_ref()), "{short}");
            }
            None => assert!(setting.secret && given.is_err(), "{full}"),
        }
    }
    let switches = arguments(&["--read-only", "--yes"]);
    assert_eq!(
        (switches.get("MCP_READ_ONLY"), switches.get("MCP_CONFIRM")),
        (Some("true".as_ref()), Some("never".as_ref()))
    );
    assert!(try_arguments(&["--yes", "--confirm", "ask"]).is_err());
}

#[test]
fn help_has_every_setting_with_its_variable_and_its_default() {
    let help = SettingArgs::augment_args(clap::Command::new("mcvsphere")).render_help().to_string();
    for setting in ALL.iter().filter(|setting| !setting.secret) {
        let line = help.lines().find(|line| line.contains(&format!("[env: {}]", setting.name))).unwrap();
        let default = setting.default.map(|default| format!("[default: {default}]"));
        assert!(line.contains(setting.help()), "{line}");
        assert!(default.is_none_or(|default| line.ends_with(&default)), "{line}");
    }
}

/// The table of docs/settings.md stands between these lines.
const START: &str = "<!-- The settings: UPDATE_README=1 cargo test -p mcvsphere-mcp --lib settings -->\n";
const END: &str = "<!-- The end of the settings -->\n";

#[test]
fn the_table_of_settings_in_readme_is_this_one() {
    let mut table = "\n| setting | option | what it is | default |\n|---|---|---|---|\n".to_owned();
    let code = |text: Option<String>| text.map(|text| format!("`{text}`")).unwrap_or_default();
    for setting in ALL {
        let option = code(setting.option().map(|option| format!("--{option}")));
        let default = code(setting.default.map(str::to_owned));
        table.push_str(&format!("| `{}` | {option} | {} | {default} |\n", setting.name, setting.help()));
    }
    table.push('\n');
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/settings.md");
    let readme = std::fs::read_to_string(path).unwrap();
    let (before, rest) = readme.split_once(START).unwrap();
    let (committed, after) = rest.split_once(END).unwrap();
    if std::env::var_os("UPDATE_README").is_some() {
        std::fs::write(path, format!("{before}{START}{table}{END}{after}")).unwrap();
        return;
    }
    assert!(
        committed == table,
        "the table of docs/settings.md is old: UPDATE_README=1 writes this in its place\n{table}"
    );
}
