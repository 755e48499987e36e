//! Several vCenters at once.

use std::fmt;
use std::future::Future;
use std::time::Duration;

use futures::future::join_all;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::client::Client;
use crate::config::Config;
use crate::error::{Category, Error, ErrorKind, Result};

/// How long refused credentials are not tried again, since directories lock accounts.
const REFUSED_FOR: Duration = Duration::from_secs(5 * 60);

/// Several servers by name. Each is connected when it is first used.
///
/// ```no_run
/// # async fn run() -> vsphere_ops::Result<()> {
/// use vsphere_ops::managed::{VirtualMachine, virtual_machine as vm};
/// use vsphere_ops::{Clients, Config};
///
/// let sites = Clients::new([
///     ("berlin", Config::new("vc.berlin.example").user("reader").password("…")),
///     ("oslo", Config::new("vc.oslo.example").user("reader").password("…")),
/// ])?;
/// let answers = sites.each(|client| async move { client.all::<VirtualMachine>().select(vm::NAME).await });
/// for answer in answers.await {
///     match answer.result {
///         Ok(vms) => println!("{}: {} virtual machines", answer.name, vms.len()),
///         Err(error) => println!("{}: {error}", answer.name), // the other answers are still there
///     }
/// }
/// # Ok(())
/// # }
/// ```
pub struct Clients {
    servers: Vec<Server>,
}

struct Server {
    name: String,
    config: Config,
    state: Mutex<State>,
}

#[derive(Default)]
enum State {
    #[default]
    New,
    Connected(Client),
    /// When the credentials were refused, and what the server said.
    Refused(Instant, String),
}

/// What one of several servers answered.
///
/// ```no_run
/// # async fn run(sites: vsphere_ops::Clients) -> vsphere_ops::Result<()> {
/// use vsphere_ops::Reply;
///
/// for Reply { name, result } in sites.all().await {
///     match result {
///         Ok(client) => println!("{name}: {}", client.content().about.full_name),
///         Err(error) => println!("{name}: {error}"),
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Reply<T> {
    /// The server's name.
    pub name: String,
    /// Its answer.
    pub result: Result<T>,
}

impl Clients {
    /// Creates the set from names and settings. Nothing is sent.
    ///
    /// ```
    /// use vsphere_ops::{Clients, Config};
    ///
    /// let [berlin, oslo] = ["vc.berlin.example", "vc.oslo.example"].map(Config::new);
    /// let sites = Clients::new([("berlin", berlin), ("oslo", oslo)])?;
    /// assert!(sites.names().eq(["berlin", "oslo"]));
    /// # Ok::<(), vsphere_ops::Error>(())
    /// ```
    ///
    /// # Errors
    /// `invalid_argument` if a name is empty or occurs twice.
    pub fn new<N: Into<String>>(servers: impl IntoIterator<Item = (N, Config)>) -> Result<Self> {
        let mut all: Vec<Server> = Vec::new();
        for (name, config) in servers {
            let name = name.into();
            if name.trim().is_empty() || all.iter().any(|server| server.name == name) {
                let text = format!("the name {name:?} of a server is empty or there twice");
                return Err(Error::new("read the settings", ErrorKind::InvalidArgument(text)));
            }
            all.push(Server { name, config, state: Mutex::default() });
        }
        Ok(Self { servers: all })
    }

    /// The names, in the order of [`new`](Self::new).
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.servers.iter().map(|server| server.name.as_str())
    }

    /// The client of a server, which is connected if it is not yet. Concurrent calls connect once.
    ///
    /// ```no_run
    /// # async fn run(sites: vsphere_ops::Clients) -> vsphere_ops::Result<()> {
    /// let oslo = sites.get("oslo").await?; // connects, if it is not connected yet
    /// println!("{oslo:?}");
    /// sites.logout().await;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// `not_found` if no server has this name, and the errors of [`Client::connect`]. Refused credentials are not tried
    /// again for five minutes.
    pub async fn get(&self, name: &str) -> Result<Client> {
        match self.servers.iter().find(|server| server.name == name) {
            Some(server) => server.client().await,
            None => {
                let names: Vec<&str> = self.names().collect();
                let text = format!("no server has this name; there are {}", names.join(", "));
                Err(Error::new("connect", ErrorKind::NotFound(text)).on(name))
            }
        }
    }

    /// The clients of all servers. Those that are not connected yet are connected concurrently.
    pub async fn all(&self) -> Vec<Reply<Client>> {
        self.each(|client| async move { Ok(client) }).await
    }

    /// Runs an operation on all servers concurrently. A server that fails or is not reached does not affect the other
    /// answers, which are in the order of [`new`](Self::new).
    pub async fn each<T, F>(&self, work: impl Fn(Client) -> F) -> Vec<Reply<T>>
    where
        F: Future<Output = Result<T>>,
    {
        let work = &work;
        join_all(self.servers.iter().map(|server| async move {
            let result = match server.client().await {
                Ok(client) => work(client).await,
                Err(error) => Err(error),
            };
            Reply { name: server.name.clone(), result }
        }))
        .await
    }

    /// Logs out of all servers; a later [`get`](Self::get) connects again.
    pub async fn logout(&self) -> Vec<Reply<()>> {
        join_all(self.servers.iter().map(|server| async move {
            let state = std::mem::take(&mut *server.state.lock().await);
            let result = match state {
                State::Connected(client) => client.logout().await,
                State::New | State::Refused(..) => Ok(()),
            };
            Reply { name: server.name.clone(), result }
        }))
        .await
    }
}

impl Server {
    async fn client(&self) -> Result<Client> {
        let mut state = self.state.lock().await;
        match &*state {
            State::Connected(client) if !client.is_logged_out() => return Ok(client.clone()),
            State::Refused(at, said) if at.elapsed() < REFUSED_FOR => {
                return Err(Error::new("connect", ErrorKind::Refused(said.clone())).on(&self.name));
            }
            _ => {}
        }
        match Client::connect(self.config.clone()).await {
            Ok(client) => {
                *state = State::Connected(client.clone());
                Ok(client)
            }
            Err(error) => {
                if error.category() == Category::Auth {
                    *state = State::Refused(Instant::now(), error.kind().to_string());
                }
                Err(error)
            }
        }
    }
}

impl fmt::Debug for Clients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.names()).finish()
    }
}
