//! The inside of guests, through VMware Tools: commands, processes, files.

use std::{collections::BTreeMap, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Serialize;
use serde_json::{Value, json};
use vsphere_ops::guest::{
    Content, Credentials, DeletedGuestFile, End, Guest, GuestFile, GuestProcess, MadeDirectory, Ran, Written,
};

use super::prelude::*;
use crate::permission::Effect;

/// How long a command is waited for when nothing is said, and at most, in seconds.
const USUAL_WAIT: u64 = 300;
const LONGEST_WAIT: u64 = 3600;

/// How much of an output or a file is answered when nothing is said, and at most, in bytes. A model can't take in more.
const USUAL_BYTES: usize = 16 << 10;
const MOST_BYTES: usize = 64 << 10;

const QUERY: &str = "VirtualMachine.GuestOperations.Query";
const MODIFY: &str = "VirtualMachine.GuestOperations.Modify";
const EXECUTE: &str = "VirtualMachine.GuestOperations.Execute";

/// The tools of this family.
pub(super) fn tools() -> Vec<Tool> {
    vec![
        Tool::changes("run_command_in_guest", Guest, FullAdmin, "Run in a guest", run_command_in_guest)
            .about("Run a command in a guest and return exit code and output. Needs username and password, or guest.")
            .long()
            .needs(&[QUERY, MODIFY, EXECUTE])
            .effect(Effect::Guest)
            .asks(),
        Tool::reads("list_guest_processes", Guest, "Guest processes", list_guest_processes)
            .about("List processes in a guest.")
            .needs(&[QUERY])
            .level(FullAdmin),
        Tool::reads("read_guest_file", Guest, "Read guest file", read_guest_file)
            .about("Read a file in a guest: text, else base64.")
            .needs(&[QUERY])
            .level(FullAdmin),
        Tool::changes("write_guest_file", Guest, FullAdmin, "Write guest file", write_guest_file)
            .about("Write a file in a guest; one that is there keeps permissions and owner.")
            .needs(&[QUERY, MODIFY])
            .effect(Effect::Guest)
            .idempotent()
            .asks(),
        Tool::reads("list_guest_directory", Guest, "Guest directory", list_guest_directory)
            .about("List a directory in a guest.")
            .needs(&[QUERY])
            .level(FullAdmin),
        Tool::adds("create_guest_directory", Guest, FullAdmin, "Create guest directory", create_guest_directory)
            .about("Create a directory in a guest.")
            .needs(&[QUERY, MODIFY])
            .effect(Effect::Guest)
            .idempotent(),
        Tool::changes("delete_guest_file", Guest, FullAdmin, "Delete guest file", delete_guest_file)
            .about("Delete a file or directory in a guest.")
            .needs(&[QUERY, MODIFY])
            .effect(Effect::Guest)
            .idempotent()
            .asks(),
    ]
}

async fn run_command_in_guest(args: RunCommand, cx: Cx) -> Result<Object<CommandRun>> {
    let seconds = in_range("timeout_seconds", args.timeout_seconds, USUAL_WAIT, LONGEST_WAIT)?;
    let most = in_range("max_output_bytes", args.max_output_bytes, USUAL_BYTES, MOST_BYTES)?;
    let (command, arguments) = (args.command.0, args.arguments.map(|arguments| arguments.0));
    let shown = match &arguments {
        Some(arguments) => format!("program {}, arguments {}", quoted(&command), json!(arguments)),
        None => quoted(&command),
    };
    let place = args.working_directory.as_deref().map(|path| format!(" in {}", quoted(path))).unwrap_or_default();
    let vm = args.login.agreed(&cx, &args.vm, "Run a command", format!("{shown}{place}"), false).await?;
    let guest = args.login.enter(&cx, &vm).await?;
    let mut run = match arguments {
        Some(arguments) => guest.program(command, arguments),
        None => guest.shell(command),
    };
    if let Some(directory) = args.working_directory {
        run = run.in_directory(directory);
    }
    for pair in args.environment.iter().flat_map(|environment| environment.expose()) {
        let wrong = || ToolError::invalid_argument("each item of `environment` must be NAME=value");
        let (name, value) = pair.split_once('=').ok_or_else(wrong)?;
        run = run.env(name, value);
    }
    if cx.is_watched() {
        run = run.on_output(cx.output());
    }
    let patience = Duration::from_secs(seconds);
    cx.may_take(patience);
    let ran = match args.wait_for_completion.unwrap_or(true) {
        true => Ok(run.timeout(patience).output_limit(most).output().await?),
        false => Err(run.start().await?),
    };
    Ok(Object(CommandRun::of(vm.label(), ran)))
}

async fn list_guest_processes(args: ListProcesses, cx: Cx) -> Result<Listed<GuestProcess>> {
    let (query, fields) = args.paging.open(&cx)?;
    let guest = args.login.enter_named(&cx, &args.vm).await?;
    Ok(cx.page(guest.list_processes(&query).await?, fields))
}

async fn read_guest_file(args: ReadFile, cx: Cx) -> Result<Object<Content>> {
    let most = in_range("max_bytes", args.max_bytes, USUAL_BYTES, MOST_BYTES)?;
    let guest = args.login.enter_named(&cx, &args.vm).await?;
    Ok(Object(guest.read(&args.guest_path, most).await?))
}

async fn write_guest_file(args: WriteFile, cx: Cx) -> Result<Object<Written>> {
    // An empty text is as none.
    let content = args.content.map(|content| content.0).unwrap_or_default();
    let content = match args.encoding.unwrap_or_default() {
        Encoding::Utf8 => content.into_bytes(),
        Encoding::Base64 => STANDARD
            .decode(content.trim())
            .map_err(|error| ToolError::invalid_argument(format!("`content` is no base64: {error}")))?,
    };
    let mode = args.permissions.as_deref().map(|text| {
        let mode = u32::from_str_radix(text.trim_start_matches("0o"), 8).ok().filter(|mode| *mode <= 0o7777);
        mode.ok_or_else(|| ToolError::invalid_argument(format!("`permissions` is {text:?}, but must be octal: 0644")))
    });
    let mode = mode.transpose()?;
    let overwrite = args.overwrite.unwrap_or(true);
    let what = format!("{} ({} bytes); what is there is lost", quoted(&args.guest_path), content.len());
    let vm = args.login.agreed(&cx, &args.vm, "Write a file", what, !overwrite).await?;
    let mut write = args.login.enter(&cx, &vm).await?.write(&*args.guest_path, content);
    if let Some(mode) = mode {
        write = write.permissions(mode);
    }
    if !overwrite {
        write = write.new_only();
    }
    Ok(Object(write.send().await?))
}

async fn list_guest_directory(args: ListDirectory, cx: Cx) -> Result<Listed<GuestFile>> {
    let (query, fields) = args.paging.open(&cx)?;
    let guest = args.login.enter_named(&cx, &args.vm).await?;
    Ok(cx.page(guest.list_directory(&args.guest_path, &query).await?, fields))
}

async fn create_guest_directory(args: CreateDirectory, cx: Cx) -> Result<Object<MadeDirectory>> {
    let what = quoted(&args.guest_path);
    let vm = args.login.agreed(&cx, &args.vm, "Create a directory", what, true).await?;
    let guest = args.login.enter(&cx, &vm).await?;
    Ok(Object(guest.make_directory(&args.guest_path, args.create_parents.unwrap_or(true)).await?))
}

async fn delete_guest_file(args: DeleteFile, cx: Cx) -> Result<Object<DeletedGuestFile>> {
    let recursive = args.recursive.unwrap_or(false);
    let all = if recursive { " with ALL that is in it" } else { "" };
    let what = format!("{}{all}", quoted(&args.guest_path));
    let vm = args.login.agreed(&cx, &args.vm, "Delete a file or directory", what, false).await?;
    let guest = args.login.enter(&cx, &vm).await?;
    Ok(Object(guest.delete(&args.guest_path, recursive).await?))
}

/// Who does it in the guest.
#[derive(Debug, Deserialize, JsonSchema)]
struct Login {
    /// Guest user.
    username: Option<String>,
    /// Password.
    password: Option<Secret>,
    /// Or stored credential.
    guest: Option<String>,
}

impl Login {
    /// The VM, once the user has agreed to what is done in its guest. The guest itself is not asked: it would read the
    /// password.
    async fn agreed(
        &self,
        cx: &Cx,
        name: &VmName,
        act: &str,
        what: String,
        harmless: bool,
    ) -> Result<Mo<VirtualMachine>> {
        cx.agreed(|| async {
            let vm = name.find(cx).await?;
            let who = match (&self.username, &self.guest) {
                (Some(user), _) => quoted(user),
                (None, Some(stored)) => format!("the stored credential {}", quoted(stored)),
                (None, None) => return Err(self.incomplete(cx, &vm).await?),
            };
            let preview = cx.change_of(&format!("{act} in the guest of"), [&vm]).await?;
            let preview = preview.note(format!("As {who}: {what}"));
            Ok((vm, if harmless { preview.harmless() } else { preview }))
        })
        .await
    }

    /// Enters the guest of a VM. A stored credential is sent only to the VMs that it is for.
    async fn enter(&self, cx: &Cx, vm: &Mo<VirtualMachine>) -> Result<Guest> {
        let credentials = match (&self.username, &self.password, &self.guest) {
            (Some(user), Some(password), None) => Credentials::new(user, password.expose()),
            (None, None, Some(stored)) => cx.guests().choose(stored, &vm.path().await?, cx.level())?,
            _ => return Err(self.incomplete(cx, vm).await?),
        };
        Ok(vm.guest(&credentials).await?)
    }

    async fn enter_named(&self, cx: &Cx, name: &VmName) -> Result<Guest> {
        self.enter(cx, &name.find(cx).await?).await
    }

    /// What is said where it is not exactly one of the two.
    async fn incomplete(&self, cx: &Cx, vm: &Mo<VirtualMachine>) -> Result<ToolError> {
        let fitting = cx.guests().fitting(&vm.path().await?, cx.level());
        let text = format!("give either `username` and `password`, or `guest`; {fitting}");
        Ok(ToolError::invalid_argument(text))
    }
}

/// A command that was run, or only started.
#[derive(Debug, Serialize, JsonSchema)]
struct CommandRun {
    /// The VM's name.
    vm: String,
    /// Whether it has ended.
    completed: bool,
    /// Its process in the guest.
    pid: i64,
    /// What it wrote, and how it ended.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    ran: Option<RanBut>,
    /// What else is to be known.
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

/// All of a run but its process, which a command that was only started has, too.
type RanBut = BTreeMap<String, Value>;

impl CommandRun {
    fn of(vm: &str, ran: std::result::Result<Ran, i64>) -> Self {
        let note = |ran: &Ran| match ran.end {
            End::TimedOut => Some(format!(
                "the time is up, and the command runs on as process {}; how it ends is known for 5 minutes after that",
                ran.pid
            )),
            End::Forgotten => Some(
                "it has ended, but its exit code is not known: the guest or VMware Tools were restarted".to_owned(),
            ),
            _ => None,
        };
        match ran {
            Err(pid) => {
                let note = Some("started; its output is not kept".to_owned());
                Self { vm: vm.to_owned(), completed: false, pid, ran: None, note }
            }
            Ok(ran) => {
                let (completed, pid, note) = (ran.end != End::TimedOut, ran.pid, note(&ran));
                let mut facts: RanBut = match json!(ran) {
                    Value::Object(facts) => facts.into_iter().collect(),
                    _ => RanBut::new(),
                };
                facts.remove("pid");
                Self { vm: vm.to_owned(), completed, pid, ran: Some(facts), note }
            }
        }
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
struct RunCommand {
    vm: VmName,
    #[serde(flatten)]
    login: Login,
    /// Shell line; with arguments, a program's path.
    command: Cut,
    /// Not for a shell.
    arguments: Option<Cut<Vec<String>>>,
    /// Home by default.
    working_directory: Option<String>,
    /// NAME=value, added to the guest's own.
    environment: Option<Secret<Vec<String>>>,
    /// True by default.
    wait_for_completion: Option<bool>,
    /// 300 by default.
    timeout_seconds: Option<u64>,
    /// Of each output; 16384 by default.
    max_output_bytes: Option<usize>,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct ListProcesses {
    vm: VmName,
    #[serde(flatten)]
    login: Login,
    #[serde(flatten)]
    paging: Paging<GuestProcess>,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct ReadFile {
    vm: VmName,
    #[serde(flatten)]
    login: Login,
    /// Absolute.
    guest_path: String,
    /// 16384 by default.
    max_bytes: Option<usize>,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct WriteFile {
    vm: VmName,
    #[serde(flatten)]
    login: Login,
    /// Absolute.
    guest_path: String,
    /// All of it.
    content: Option<Cut>,
    /// Of content; utf-8 by default.
    encoding: Option<Encoding>,
    /// True by default.
    overwrite: Option<bool>,
    /// Octal: 0600.
    permissions: Option<String>,
}

/// How content is written in JSON.
#[derive(Debug, Default, Deserialize, JsonSchema)]
enum Encoding {
    #[default]
    #[serde(rename = "utf-8")]
    Utf8,
    #[serde(rename = "base64")]
    Base64,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct ListDirectory {
    vm: VmName,
    #[serde(flatten)]
    login: Login,
    /// Absolute.
    guest_path: String,
    #[serde(flatten)]
    paging: Paging<GuestFile>,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct CreateDirectory {
    vm: VmName,
    #[serde(flatten)]
    login: Login,
    /// Absolute.
    guest_path: String,
    /// True by default.
    create_parents: Option<bool>,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct DeleteFile {
    vm: VmName,
    #[serde(flatten)]
    login: Login,
    /// Absolute.
    guest_path: String,
    /// With all in it; false by default.
    recursive: Option<bool>,
}
