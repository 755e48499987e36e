// What a documented example runs on: a simulated vCenter of its own. The documentation tests include this file.

use std::time::Duration;

use vsphere_ops::{Client, Config, Result};
use vsphere_sim::{Model, Sim};

/// Longer than any example needs, so that one that hangs is a failure.
const LONGEST: Duration = Duration::from_secs(30);

/// Runs an example with a client of the demo inventory.
pub(super) fn documented<F: Future<Output = Result<()>>>(example: impl FnOnce(Client) -> F) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let sim = Sim::start(Model::demo()).await.unwrap();
        let config = Config::new(sim.url()).user(Model::USER).password(Model::PASSWORD);
        let client = Client::connect(config.thumbprint(&sim.thumbprint().unwrap().to_string())).await.unwrap();
        match tokio::time::timeout(LONGEST, example(client)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => panic!("{error}"),
            Err(_) => panic!("the example did not end within {} s", LONGEST.as_secs()),
        }
    });
}
