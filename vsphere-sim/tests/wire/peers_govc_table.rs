//! govc against vcsim and against what stands in for it: the same commands, and the same answers but for what
//! `govc-commands.txt` gives a reason for.

#![allow(clippy::print_stdout, reason = "the figures of a comparison are its result")]

use std::sync::LazyLock;

use peers::{Vcsim as Peer, govc_text};
use regex::Regex;
use vsphere_sim::{Model, Rules, Sim, Vcsim};

const COMMANDS: &str = include_str!("govc-commands.txt");

/// What each server counts or invents by itself: identifiers, ids, addresses, times, and the progress of a task.
static OWN: LazyLock<[(Regex, &str); 6]> = LazyLock::new(|| {
    [
        ("([0-9a-f]{2} ){7}[0-9a-f]{2}-([0-9a-f]{2} ){7}[0-9a-f]{2}", "UUID"),
        ("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "UUID"),
        (r"DVUplinks-\d+", "DVUplinks"),
        (r"127\.0\.0\.1:\d+", "ADDRESS"),
        (r"\b(vm|host|group|dvs|dvportgroup|network)-[a-z]?\d+", "ID"),
        (r"\[[^\]]*\d\d-\d\d-\d\d[^\]]*\]", ""),
    ]
    .map(|(pattern, place)| (Regex::new(pattern).unwrap(), place))
});

/// What a command prints; `None` where it fails.
async fn answer(url: &str, command: &str) -> Option<String> {
    let words: Vec<&str> = command.split_whitespace().collect();
    let said = govc_text(url, &words).await.ok()?;
    let said = OWN.iter().fold(said, |said, (pattern, place)| pattern.replace_all(&said, *place).into_owned());
    let last = |line: &str| line.rsplit('\r').next().unwrap_or_default().to_owned();
    Some(said.split('\n').map(last).collect::<Vec<_>>().join("\n"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs vcsim and govc: cargo xtask peers"]
async fn peers_govc_answers_are_those_of_vcsim() {
    let theirs = Peer::start(&[]).await.unwrap();
    let model = Model::vcsim(Vcsim::default()).rules(Rules::LENIENT);
    let ours = Sim::listen_plain(model, ([127, 0, 0, 1], 0).into()).await.unwrap();
    let url = ours.url().replace("http://", "http://user:pass@");
    let (mut same, mut explained, mut wrong) = (0, 0, Vec::new());
    for line in COMMANDS.lines().filter(|line| !line.starts_with('#')) {
        let (command, reason) =
            line.split_once(" ## ").map_or((line, None), |(command, reason)| (command, Some(reason)));
        let vcsim = theirs.govc_url();
        let (there, here) = tokio::join!(answer(&vcsim, command), answer(&url, command));
        match (there == here, reason) {
            (true, None) => same += 1,
            (false, Some(_)) => explained += 1,
            (true, Some(_)) => wrong.push(format!("govc {command}: no difference, but a reason for one")),
            (false, None) => wrong.push(format!("govc {command}:\nvcsim: {there:?}\nours: {here:?}")),
        }
    }
    println!("govc: {} commands, {same} answered as by vcsim, {explained} differ for a reason", same + explained);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(same + explained >= 140);
}
