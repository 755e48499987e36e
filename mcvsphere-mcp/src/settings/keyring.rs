//! Passwords in the keyring of the user who starts mcvsphere.
//!
//! They are read and written by the platform's own command. The crate `keyring` would bring 52 more crates on Linux, with a D-Bus client
//! and its executor, for a few bytes at start; and the command asks the user itself to unlock the keyring.

use std::{
    ffi::{OsStr, OsString},
    io::{Read, Write},
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// How long the user may take to unlock the keyring.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often the command is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// How much of its output is read.
const MOST: u64 = 64 << 10;

/// How a platform's keyring is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Platform {
    /// The Secret Service of freedesktop.org: GNOME Keyring, KWallet, KeePassXC.
    SecretService,
    /// The Keychain of macOS.
    Keychain,
}

/// The password of `SERVICE/USER`.
///
/// # Errors
/// Why there is none, in words that go on from "takes its password from the keyring".
pub(super) fn password(entry: &str, environment: &dyn Fn(&str) -> Option<OsString>) -> Result<String, String> {
    Platform::here()?.read(entry, environment, PATIENCE)
}

/// Whether the command of this platform's keyring is there.
pub(crate) fn is_here(environment: &dyn Fn(&str) -> Option<OsString>) -> bool {
    Platform::here().is_ok_and(|platform| find(platform.command(), environment("PATH").as_deref()).is_some())
}

/// Puts a password into the keyring as `SERVICE/USER`, in place of the one that is there, and reads it again.
///
/// # Errors
/// Why it is not there then.
pub(crate) fn store(entry: &str, password: &str, environment: &dyn Fn(&str) -> Option<OsString>) -> Result<(), String> {
    Platform::here()?.write(entry, password, environment, PATIENCE)
}

impl Platform {
    fn here() -> Result<Self, String> {
        match std::env::consts::OS {
            "macos" => Ok(Self::Keychain),
            "windows" => Err("that of Windows is not supported: keep the password in a file or a variable".to_owned()),
            _ => Ok(Self::SecretService),
        }
    }

    /// The command of the keyring, as it can be started.
    fn start(self, environment: &dyn Fn(&str) -> Option<OsString>) -> Result<Command, String> {
        let name = self.command();
        let missing = || format!("there is no command `{name}` in PATH{}", self.comes_with());
        let mut command = Command::new(find(name, environment("PATH").as_deref()).ok_or_else(missing)?);
        // Some MCP clients pass on few variables, and without this one the command does not find the keyring.
        if self == Self::SecretService
            && environment(BUS).is_none()
            && let Some(bus) = user_bus()
        {
            command.env(BUS, format!("unix:path={}", bus.display()));
        }
        Ok(command)
    }

    fn write(
        self,
        entry: &str,
        password: &str,
        environment: &dyn Fn(&str) -> Option<OsString>,
        patience: Duration,
    ) -> Result<(), String> {
        let (service, user) = parts(entry)?;
        let mut command = self.start(environment)?;
        // Neither way shows the password in the list of processes.
        let said = match self {
            Self::SecretService => {
                let label = format!("--label=mcvsphere: {user} at {service}");
                command.args(["store", &label, "service", service, "username", user]);
                password.to_owned()
            }
            Self::Keychain => {
                command.arg("-i");
                let [service, user, password] = [service, user, password].map(quoted);
                format!("add-generic-password -U -s {service} -a {user} -w {password}\n")
            }
        };
        let name = self.command();
        let ended = run(command, Some(said), patience).map_err(|problem| format!("`{name}` {problem}"))?;
        if !ended.success {
            // It may repeat what it was told.
            let said = ended.error.lines().map(str::trim).find(|line| !line.is_empty() && !line.contains(password));
            return Err(format!("`{name}` says {:?}", said.unwrap_or_default()));
        }
        match self.read(entry, environment, patience)? == password {
            true => Ok(()),
            false => Err("it answers another password than it was given".to_owned()),
        }
    }

    fn read(
        self,
        entry: &str,
        environment: &dyn Fn(&str) -> Option<OsString>,
        patience: Duration,
    ) -> Result<String, String> {
        let (service, user) = parts(entry)?;
        let name = self.command();
        let mut command = self.start(environment)?;
        match self {
            Self::SecretService => command.args(["lookup", "service", service, "username", user]),
            // With -w, a password with other letters than those of ASCII looks like another one in hexadecimal digits.
            Self::Keychain => command.args(["find-generic-password", "-s", service, "-a", user, "-g"]),
        };
        let ended = run(command, None, patience).map_err(|problem| format!("`{name}` {problem}"))?;
        if !ended.success {
            let said = ended.error.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default().to_owned();
            let none = self == Self::SecretService && said.is_empty() || said.contains("could not be found");
            return Err(match none {
                true => format!("it has no entry of service {service:?} and user {user:?}, or stayed locked"),
                false => format!("`{name}` says {said:?}"),
            });
        }
        let password = match self {
            Self::SecretService => Some(ended.output.trim_end_matches('\n').to_owned()),
            Self::Keychain => keychain_password(&ended.error),
        };
        let password = password.filter(|password| !password.is_empty());
        password.ok_or_else(|| format!("its entry of service {service:?} and user {user:?} has no text"))
    }

    fn command(self) -> &'static str {
        match self {
            Self::SecretService => "secret-tool",
            Self::Keychain => "security",
        }
    }

    fn comes_with(self) -> &'static str {
        match self {
            Self::SecretService => ": it comes with libsecret, as the package libsecret-tools or libsecret",
            Self::Keychain => "",
        }
    }
}

/// `password: "text"`, or `password: 0xC3A4  "…"` where the text has other letters than those of ASCII.
fn keychain_password(told: &str) -> Option<String> {
    let value = told.lines().find_map(|line| line.strip_prefix("password: "))?;
    let Some(digits) = value.strip_prefix("0x") else {
        return Some(value.strip_prefix('"')?.strip_suffix('"')?.to_owned());
    };
    let digits = digits.split(' ').next()?.as_bytes();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    String::from_utf8(digits.chunks(2).map(byte).collect::<Option<_>>()?).ok()
}

/// The service and the user of an entry. A service may be a URL.
fn parts(entry: &str) -> Result<(&str, &str), String> {
    let parts = entry.rsplit_once('/').filter(|(service, user)| !service.is_empty() && !user.is_empty());
    parts.ok_or_else(|| format!("{entry:?} is not of the form SERVICE/USER"))
}

/// A word of a command of `security -i`.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r#"'"'"'"#))
}

/// The variable that says where the bus of a user's programs is.
const BUS: &str = "DBUS_SESSION_BUS_ADDRESS";

/// The bus that systemd makes for each user who logs in.
#[cfg(target_os = "linux")]
fn user_bus() -> Option<PathBuf> {
    use std::os::unix::fs::MetadataExt as _;
    let user = std::fs::metadata("/proc/self").ok()?.uid();
    let bus = PathBuf::from("/run/user").join(user.to_string()).join("bus");
    bus.exists().then_some(bus)
}

#[cfg(not(target_os = "linux"))]
fn user_bus() -> Option<PathBuf> {
    None
}

fn find(name: &str, path: Option<&OsStr>) -> Option<PathBuf> {
    // An empty or relative step would be the directory in which somebody starts it.
    let steps = std::env::split_paths(path?).filter(|step| step.is_absolute());
    steps.map(|step| step.join(name)).find(|program| program.is_file())
}

/// What a command wrote, and whether it went well.
struct Ended {
    success: bool,
    output: String,
    error: String,
}

/// Runs a command, for so long at most, and tells it what it asks for. What it writes may be a secret, and is told by nobody here.
fn run(mut command: Command, said: Option<String>, patience: Duration) -> Result<Ended, String> {
    let failed = |error: std::io::Error| format!("can't be run: {error}");
    let input = if said.is_some() { Stdio::piped() } else { Stdio::null() };
    let mut child = command.stdin(input).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().map_err(failed)?;
    if let (Some(mut input), Some(said)) = (child.stdin.take(), said) {
        // What ends before it has heard all says why on its own.
        let _ = input.write_all(said.as_bytes());
    }
    let (output, error) = (child.stdout.take().map(read), child.stderr.take().map(read));
    let success = wait(&mut child, patience)?;
    let text = |reader: Option<thread::JoinHandle<Vec<u8>>>| {
        let bytes = reader.map(thread::JoinHandle::join).and_then(Result::ok).unwrap_or_default();
        String::from_utf8(bytes).map_err(|_| "gave what is no UTF-8 text".to_owned())
    };
    Ok(Ended { success, output: text(output)?, error: text(error)? })
}

fn read(from: impl Read + Send + 'static) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut all = Vec::new();
        // What can't be read is as what was not written.
        let _ = from.take(MOST).read_to_end(&mut all);
        all
    })
}

fn wait(child: &mut Child, patience: Duration) -> Result<bool, String> {
    let begin = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Ok(status.success()),
            Ok(None) if begin.elapsed() < patience => thread::sleep(LOOK),
            waited => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(match waited {
                    Err(error) => format!("can't be waited for: {error}"),
                    Ok(_) => format!("has not answered for {} seconds: the keyring may be locked", patience.as_secs()),
                });
            }
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]

    use std::{fs, os::unix::fs::PermissionsExt as _};

    use super::*;

    /// A directory with a command that is not what it says.
    struct Fake(PathBuf);

    impl Fake {
        fn new(name: &str, script: &str) -> Self {
            let folder = std::env::temp_dir().join(format!("keyring-{}-{:x}", std::process::id(), fastrand()));
            fs::create_dir(&folder).unwrap();
            fs::write(folder.join(name), format!("#!/bin/sh\n{script}\n")).unwrap();
            fs::set_permissions(folder.join(name), fs::Permissions::from_mode(0o700)).unwrap();
            Self(folder)
        }

        fn ask(&self, platform: Platform, entry: &str, patience: Duration) -> Result<String, String> {
            let path = std::env::join_paths(["relative".into(), self.0.clone()]).unwrap();
            platform.read(entry, &|name| (name == "PATH").then(|| path.clone()), patience)
        }
    }

    impl Drop for Fake {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn fastrand() -> u64 {
        use std::hash::{BuildHasher as _, Hasher as _, RandomState};
        RandomState::new().build_hasher().finish()
    }

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn a_password_of_the_secret_service_is_asked_for_by_service_and_user() {
        let script =
            r#"[ "$*" = "lookup service https://vc.example/ui username CORP\deploy" ] && printf '%s' ' hünter2 '"#;
        let fake = Fake::new("secret-tool", script);
        let ask = |entry: &str| fake.ask(Platform::SecretService, entry, LONG);
        assert_eq!(ask(r"https://vc.example/ui/CORP\deploy").unwrap(), " hünter2 ");
        let none = ask("web/deploy").unwrap_err();
        assert!(none.contains(r#"no entry of service "web" and user "deploy""#), "{none}");
        for entry in ["web", "/deploy", "web/", ""] {
            assert!(ask(entry).unwrap_err().contains("SERVICE/USER"), "{entry}");
        }
    }

    #[test]
    fn a_password_is_told_on_standard_input_and_read_again() {
        let script = r#"case "$1" in store) [ "$*" = "store --label=mcvsphere: u@local at mcvsphere/vc service mcvsphere/vc username u@local" ] && cat > "$0.kept" ;; lookup) cat "$0.kept" ;; esac"#;
        let fake = Fake::new("secret-tool", script);
        let write = |fake: &Fake, password: &str| {
            let path = fake.0.clone().into_os_string();
            // `cat` is where this computer has it.
            let path = std::env::join_paths([PathBuf::from(path), "/usr/bin".into(), "/bin".into()]).unwrap();
            Platform::SecretService.write(
                "mcvsphere/vc/u@local",
                password,
                &|name| (name == "PATH").then(|| path.clone()),
                LONG,
            )
        };
        write(&fake, "hün'ter \"2").unwrap();
        assert_eq!(fs::read_to_string(fake.0.join("secret-tool.kept")).unwrap(), "hün'ter \"2");
        let other = Fake::new("secret-tool", "[ $1 = store ] || printf '%s' other");
        assert!(write(&other, "hunter2").unwrap_err().contains("another password"));
        let refuses = Fake::new("secret-tool", "cat >&2; echo >&2; echo 'is locked' >&2; exit 1");
        let problem = write(&refuses, "hunter2").unwrap_err();
        assert!(problem.contains("is locked") && !problem.contains("hunter2"), "{problem}");
    }

    #[test]
    fn words_for_the_keychain_are_quoted() {
        assert_eq!(quoted(r#"it's "x" $y"#), r#"'it'"'"'s "x" $y'"#);
    }

    #[test]
    fn what_is_wrong_with_the_keyring_is_told_and_no_secret() {
        let ask = |script: &str| Fake::new("secret-tool", script).ask(Platform::SecretService, "web/deploy", LONG);
        let problem = ask("echo hunter2; echo 'Cannot autolaunch D-Bus without X11 $DISPLAY' >&2; exit 1").unwrap_err();
        assert!(problem.contains("Cannot autolaunch D-Bus") && !problem.contains("hunter2"), "{problem}");
        assert!(ask("true").unwrap_err().contains("has no text"));
        assert!(ask(r"printf '\377'").unwrap_err().contains("no UTF-8"));
        let nobody = Fake::new("other", "").ask(Platform::SecretService, "web/deploy", LONG).unwrap_err();
        assert!(nobody.contains("no command `secret-tool`") && nobody.contains("libsecret-tools"), "{nobody}");
    }

    #[test]
    fn a_keyring_that_stays_locked_is_given_up() {
        let fake = Fake::new("secret-tool", "exec sleep 600");
        let problem = fake.ask(Platform::SecretService, "web/deploy", Duration::from_millis(100)).unwrap_err();
        assert!(problem.contains("may be locked"), "{problem}");
    }

    #[test]
    fn a_password_of_the_keychain_may_have_any_letters() {
        for (told, password) in [
            (r#"password: "hunter2""#, "hunter2"),
            (r#"password: "0xC3" and "more""#, r#"0xC3" and "more"#),
            (r#"password: 0x68C3BC6E746572  "h\303\274nter""#, "hünter"),
        ] {
            let script = format!(
                "[ \"$*\" = 'find-generic-password -s web -a deploy -g' ] || exit 9\ncat >&2 <<'END'\nkeychain: \
                 \"login\"\n{told}\nEND"
            );
            let fake = Fake::new("security", &script);
            assert_eq!(fake.ask(Platform::Keychain, "web/deploy", LONG).unwrap(), password);
        }
        let script = "echo 'security: SecKeychainSearchCopyNext: The specified item could not be found in the keychain.' \
                      >&2; exit 44";
        let none = Fake::new("security", script).ask(Platform::Keychain, "web/deploy", LONG).unwrap_err();
        assert!(none.contains("no entry of service"), "{none}");
    }
}
