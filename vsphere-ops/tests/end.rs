//! The end of a program. Alone in its process, as all clients of the process are meant.

#![allow(clippy::unwrap_used, reason = "a panic in a test is its failure report")]

use std::time::Duration;

use tokio::time::{sleep, timeout};
use vsphere_ops::{Client, Config, end_all_sessions};
use vsphere_sim::{Model, Sim, Trouble};

fn config(sim: &Sim) -> Config {
    let thumbprint = sim.thumbprint().unwrap().to_string();
    Config::new(sim.url()).user(Model::USER).password(Model::PASSWORD).thumbprint(&thumbprint)
}

#[tokio::test]
async fn all_sessions_end_with_the_program_and_no_new_one_is_opened() {
    let sim = Sim::start(Model::empty()).await.unwrap();
    let held = Client::connect(config(&sim)).await.unwrap();
    let dropped = Client::connect(config(&sim)).await.unwrap();
    assert_eq!(sim.sessions(), 2);
    sim.trouble(Trouble::none().latency(Duration::from_millis(100)));
    // Some are waited for to their end, some are left in the middle: before, during and after the login.
    let waited: Vec<_> = (0..3).map(|_| tokio::spawn(Client::connect(config(&sim)))).collect();
    let left = (1..8).map(|step| {
        let connect = Client::connect(config(&sim));
        async move { timeout(Duration::from_millis(60 * step), connect).await }
    });
    let left = tokio::spawn(futures::future::join_all(left));
    sleep(Duration::from_millis(250)).await;
    drop(dropped);

    timeout(Duration::from_secs(20), end_all_sessions()).await.unwrap();
    for connect in waited {
        drop(connect.await.unwrap());
    }
    drop(left.await.unwrap());
    end_all_sessions().await;

    assert_eq!(sim.sessions(), 0);
    assert!(held.is_logged_out());
    let error = Client::connect(config(&sim)).await.err().unwrap();
    assert_eq!(error.code(), "auth", "{error}");
    assert_eq!(sim.sessions(), 0);
}
