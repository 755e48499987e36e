//! Runs a command in the guest of a VM, shows its output as it comes, and ends with its exit code.
//!
//! ```text
//! guest_run VM COMMAND
//! GUEST_USER=root GUEST_PASSWORD=… VCENTER_HOST=vc.example.com … guest_run web-1 'uname -a && df -h'
//! ```
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program on the command line speaks by printing")]

use std::process::ExitCode;
use std::time::Duration;

use vsphere_ops::guest::{Credentials, End, Stream};
use vsphere_ops::managed::VirtualMachine;
use vsphere_ops::{Client, Config};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<ExitCode, Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [vm, command] = &arguments[..] else {
        return Err("usage: guest_run VM COMMAND".into());
    };
    let login = Credentials::new(std::env::var("GUEST_USER")?, std::env::var("GUEST_PASSWORD")?);
    let client = Client::connect(Config::from_env()?).await?;
    let vm = client.get::<VirtualMachine>(vm).await?;
    // One that has just been started is waited for.
    let guest = vm.wait_for_guest(&login, Duration::from_secs(120)).await?;

    let run = guest.shell(command.as_str()).timeout(Duration::from_secs(600)).on_output(|chunk| {
        let text = String::from_utf8_lossy(&chunk.bytes).into_owned();
        match chunk.stream {
            Stream::Stdout => print!("{text}"),
            Stream::Stderr => eprint!("{text}"),
        }
    });
    let ran = run.output().await?;

    client.logout().await?;
    match ran.end {
        End::TimedOut => eprintln!("the command runs on as process {}", ran.pid),
        End::Forgotten => eprintln!("the command has ended, nobody knows how"),
        _ => {}
    }
    Ok(ExitCode::from(ran.exit_code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)))
}
