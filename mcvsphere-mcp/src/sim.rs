//! The simulated vCenter on the command line: alone, or embedded in place of a real one.

pub(crate) mod vcsim;

use std::{fmt, net::SocketAddr, process::ExitCode, str::FromStr, time::Duration};

use anyhow::Context;
use vsphere_sim::{Model, Rules, Sim, Size, Trouble, Vcsim};

/// Run a simulated vCenter for any vSphere client, until a signal comes
#[derive(Debug, clap::Args)]
pub(crate) struct SimArgs {
    /// Where to listen
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8989")]
    listen: SocketAddr,
    /// Speak plain HTTP
    #[arg(long)]
    plain: bool,
    /// What to simulate: demo, empty, esxi, vcsim (the inventory of govmomi's simulator), or an inventory that is counted, such as
    /// vms=5000,hosts=64
    #[arg(long, value_name = "MODEL", default_value = "demo")]
    model: Simulated,
    /// Virtual machines of a counted inventory
    #[arg(long, value_name = "N", conflicts_with = "model")]
    vms: Option<usize>,
    /// Hosts of a counted inventory
    #[arg(long, value_name = "N", conflicts_with = "model")]
    hosts: Option<usize>,
    /// Clusters in each datacenter of a counted inventory
    #[arg(long, value_name = "N", conflicts_with = "model")]
    clusters: Option<usize>,
    /// Datacenters of a counted inventory
    #[arg(long, value_name = "N", conflicts_with = "model")]
    datacenters: Option<usize>,
    /// Datastores in each datacenter of a counted inventory
    #[arg(long, value_name = "N", conflicts_with = "model")]
    datastores: Option<usize>,
    /// Insist on less than real servers do: a host need not be named, hosts enter maintenance mode at once, guests shut down
    /// without VMware Tools, new hosts are trusted, and any name and password will do
    #[arg(long)]
    lenient: bool,
    /// The version of the API that the server speaks
    #[arg(long, value_name = "VERSION", default_value = "9.0.0.0")]
    api_version: String,
    /// How long tasks take: 1 is as on a real server, 0 is at once
    #[arg(long, value_name = "FACTOR", default_value_t = 1.0)]
    pace: f64,
    /// Seconds that a session may be idle
    #[arg(long, value_name = "SECONDS", default_value_t = 1800)]
    idle_limit: u64,
    /// How many sessions there may be
    #[arg(long, value_name = "N", default_value_t = 550)]
    max_sessions: usize,
    /// How many objects an answer of the property collector has at most
    #[arg(long, value_name = "N", default_value_t = 100)]
    page: usize,
    /// Milliseconds that each answer takes longer
    #[arg(long, value_name = "MS", default_value_t = 0)]
    latency: u64,
    /// Let calls fail: METHOD=FAULT, or METHOD=FAULT*TIMES; METHOD may be *
    #[arg(long, value_name = "METHOD=FAULT")]
    fail: Vec<Failing>,
    /// Close the connection in the place of every Nth answer
    #[arg(long, value_name = "N", default_value_t = 0)]
    drop_every: u32,
    /// Answer every Nth request with HTTP's 503
    #[arg(long, value_name = "N", default_value_t = 0)]
    busy_every: u32,
    /// End the session of every Nth request before it is answered
    #[arg(long, value_name = "N", default_value_t = 0)]
    lose_session_every: u32,
    /// Let a datastore be full
    #[arg(long, value_name = "NAME")]
    full_datastore: Vec<String>,
    /// Let a host fail, at once or after some seconds: NAME or NAME@SECONDS
    #[arg(long, value_name = "NAME")]
    fail_host: Vec<FailingHost>,
    /// List the methods of the API that are simulated, count the properties that have values, and end
    #[arg(long)]
    coverage: bool,
    /// Take the command line of govmomi's vcsim from here on, and do as it does, as a program named vcsim does by itself
    #[arg(long, value_name = "VCSIM OPTIONS", num_args = 0.., allow_hyphen_values = true)]
    as_vcsim: Option<Vec<String>>,
}

/// What is simulated: `demo`, `empty`, `esxi`, `vcsim`, or a counted inventory.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Simulated {
    Demo,
    Empty,
    Esxi,
    Vcsim,
    Sized(Size),
}

impl Simulated {
    fn model(&self) -> Model {
        match self {
            Self::Demo => Model::demo(),
            Self::Empty => Model::empty(),
            Self::Esxi => Model::esxi(),
            Self::Vcsim => Model::vcsim(Vcsim::default()),
            Self::Sized(size) => Model::sized(size.clone()),
        }
    }
}

/// As it is read.
impl fmt::Display for Simulated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Demo => f.write_str("demo"),
            Self::Empty => f.write_str("empty"),
            Self::Esxi => f.write_str("esxi"),
            Self::Vcsim => f.write_str("vcsim"),
            Self::Sized(Size { datacenters, clusters, hosts, datastores, vms }) => write!(
                f,
                "datacenters={datacenters},clusters={clusters},hosts={hosts},datastores={datastores},vms={vms}"
            ),
        }
    }
}

impl FromStr for Simulated {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "" | "demo" => return Ok(Self::Demo),
            "empty" => return Ok(Self::Empty),
            "esxi" => return Ok(Self::Esxi),
            "vcsim" => return Ok(Self::Vcsim),
            _ => {}
        }
        let mut size = Size::default();
        for pair in text.split(',') {
            let count = pair.split_once('=').and_then(|(name, count)| Some((name, count.parse().ok()?)));
            let place = count.and_then(|(name, count)| {
                let place = match name {
                    "vms" => &mut size.vms,
                    "hosts" => &mut size.hosts,
                    "clusters" => &mut size.clusters,
                    "datacenters" => &mut size.datacenters,
                    "datastores" => &mut size.datastores,
                    _ => return None,
                };
                Some((place, count))
            });
            let Some((place, count)) = place else {
                return Err(format!(
                    "{pair:?} is not demo, empty, esxi or vcsim, nor a count of vms, hosts, clusters, datacenters or \
                     datastores, such as vms=5000,hosts=64"
                ));
            };
            *place = count;
        }
        Ok(Self::Sized(size))
    }
}

/// A fault that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Failing {
    method: String,
    fault: String,
    times: u32,
}

impl FromStr for Failing {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not METHOD=FAULT or METHOD=FAULT*TIMES");
        let (method, rest) = text.split_once('=').ok_or_else(wrong)?;
        let (fault, times) = match rest.rsplit_once('*') {
            Some((fault, times)) => (fault, times.parse().map_err(|_| wrong())?),
            None => (rest, u32::MAX),
        };
        if method.is_empty() || fault.is_empty() {
            return Err(wrong());
        }
        Ok(Self { method: method.to_owned(), fault: fault.to_owned(), times })
    }
}

/// Starts an embedded simulated vCenter.
///
/// # Errors
/// The loopback port or the certificate can't be had.
pub(crate) async fn embedded(simulated: &Simulated) -> anyhow::Result<Sim> {
    // The person who waits before a terminal wants to see progress, but not to wait as long as in real life.
    let model = simulated.model().pace(0.2);
    let sim = Sim::start(model).await.context("the simulated vCenter can't start")?;
    tracing::info!(
        linux = Model::LINUX_USER,
        windows = Model::WINDOWS_USER,
        password = Model::GUEST_PASSWORD,
        "guests of the simulated vCenter take these users"
    );
    Ok(sim)
}

/// Runs the simulated vCenter alone, until it is dropped.
pub(crate) async fn run(args: SimArgs, say: impl Fn(&str) -> std::io::Result<()>) -> anyhow::Result<ExitCode> {
    if args.coverage {
        say(&coverage()?)?;
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(words) = &args.as_vcsim {
        return vcsim::run(words, say).await;
    }
    let model = args.model();
    let listen =
        if args.plain { Sim::listen_plain(model, args.listen).await } else { Sim::listen(model, args.listen).await };
    let sim = listen.with_context(|| format!("can't listen on {}: choose another with --listen", args.listen))?;
    for datastore in &args.full_datastore {
        sim.fill_datastore(datastore, 0)?;
    }
    for host in args.fail_host.iter().filter(|host| host.after.is_zero()) {
        sim.fail_host(&host.name)?;
    }
    say(&Announcement(&sim).to_string())?;
    let failures = args.fail_host.iter().filter(|host| !host.after.is_zero()).map(async |host| {
        tokio::time::sleep(host.after).await;
        sim.fail_host(&host.name)
    });
    futures::future::try_join_all(failures).await?;
    std::future::pending().await
}

impl SimArgs {
    fn model(&self) -> Model {
        let counts = [self.vms, self.hosts, self.clusters, self.datacenters, self.datastores];
        let model = if counts.iter().any(Option::is_some) {
            let usual = Size::default();
            Model::sized(Size {
                vms: self.vms.unwrap_or(usual.vms),
                hosts: self.hosts.unwrap_or(usual.hosts),
                clusters: self.clusters.unwrap_or(usual.clusters),
                datacenters: self.datacenters.unwrap_or(usual.datacenters),
                datastores: self.datastores.unwrap_or(usual.datastores),
            })
        } else {
            self.model.model()
        };
        let trouble = Trouble::none()
            .latency(Duration::from_millis(self.latency))
            .drop_every(self.drop_every)
            .busy_every(self.busy_every)
            .lose_session_every(self.lose_session_every);
        let trouble = self.fail.iter().fold(trouble, |it, fail| it.fail(&fail.method, &fail.fault, fail.times));
        let rules = if self.lenient { Rules::LENIENT } else { Rules::REAL };
        model
            .rules(rules)
            .version(&self.api_version)
            .pace(self.pace)
            .page(self.page)
            .idle_limit(Duration::from_secs(self.idle_limit))
            .max_sessions(self.max_sessions)
            .trouble(trouble)
    }
}

/// A host that is to fail.
#[derive(Debug, Clone, PartialEq, Eq)]
struct FailingHost {
    name: String,
    after: Duration,
}

impl FromStr for FailingHost {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, seconds) = text.split_once('@').unwrap_or((text, "0"));
        match seconds.parse() {
            Ok(seconds) if !name.is_empty() => Ok(Self { name: name.to_owned(), after: Duration::from_secs(seconds) }),
            _ => Err(format!("{text:?} is not NAME or NAME@SECONDS")),
        }
    }
}

/// How to reach a simulated vCenter, as lines that a shell can take.
struct Announcement<'a>(&'a Sim);

impl fmt::Display for Announcement<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(sim) = self;
        writeln!(f, "export VCENTER_HOST={}", sim.url().trim_end_matches("/sdk"))?;
        writeln!(f, "export VCENTER_USER={} VCENTER_PASSWORD='{}'", Model::USER, Model::PASSWORD)?;
        if let Some(thumbprint) = sim.thumbprint() {
            writeln!(f, "export VCENTER_THUMBPRINT={thumbprint}")?;
        }
        writeln!(
            f,
            "# Guests have the users {} (Linux) and {} (Windows), and operator, all with the password '{}'.",
            Model::LINUX_USER,
            Model::WINDOWS_USER,
            Model::GUEST_PASSWORD
        )?;
        write!(f, "# A simulated vCenter at {}. It ends with Ctrl-C.", sim.url())
    }
}

fn coverage() -> anyhow::Result<String> {
    let all = vsphere_sim::coverage();
    let simulated: Vec<_> = all.iter().filter(|it| it.simulated).collect();
    let lines: Vec<String> = simulated.iter().map(|it| format!("{}.{}", it.owner, it.method)).collect();
    let (set, properties) = vsphere_sim::properties_set().context("the demonstration can't be made")?;
    Ok(format!(
        "{}\n# {} of the {} methods of the API are simulated. {set} of its {properties} properties have values in the demo.",
        lines.join("\n"),
        simulated.len(),
        all.len()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_a_name_or_counts() {
        assert_eq!("demo".parse(), Ok(Simulated::Demo));
        assert_eq!("vcsim".parse(), Ok(Simulated::Vcsim));
        for text in ["demo", "empty", "esxi", "vcsim", "datacenters=1,clusters=2,hosts=3,datastores=4,vms=5"] {
            assert_eq!(text.parse::<Simulated>().unwrap().to_string(), text);
        }
        let size = Size { vms: 5000, hosts: 64, ..Size::default() };
        assert_eq!("vms=5000,hosts=64".parse(), Ok(Simulated::Sized(size)));
        for wrong in ["big", "vms", "vms=many", "cats=3", "vms=1,"] {
            assert!(wrong.parse::<Simulated>().unwrap_err().contains("vms=5000,hosts=64"), "{wrong}");
        }
    }

    #[test]
    fn a_failure_is_a_method_a_fault_and_perhaps_a_count() {
        let failing = |times| Failing { method: "PowerOnVM_Task".into(), fault: "InvalidState".into(), times };
        assert_eq!("PowerOnVM_Task=InvalidState*3".parse(), Ok(failing(3)));
        assert_eq!("PowerOnVM_Task=InvalidState".parse(), Ok(failing(u32::MAX)));
        for wrong in ["PowerOnVM_Task", "=InvalidState", "a=b*c"] {
            assert!(wrong.parse::<Failing>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_host_fails_at_once_or_later() {
        let failing = |seconds| FailingHost { name: "esx-1".into(), after: Duration::from_secs(seconds) };
        assert_eq!("esx-1".parse(), Ok(failing(0)));
        assert_eq!("esx-1@90".parse(), Ok(failing(90)));
        for wrong in ["", "@5", "esx-1@", "esx-1@soon"] {
            assert!(wrong.parse::<FailingHost>().is_err(), "{wrong}");
        }
    }
}
