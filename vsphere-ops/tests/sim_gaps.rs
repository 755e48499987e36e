//! One part of a report fails, and the rest is told.

#![allow(clippy::unwrap_used, reason = "a panic in a test is its failure report")]

use vsphere_ops::{
    Client, Config,
    managed::{HostSystem, VirtualMachine},
};
use vsphere_sim::{Model, Sim, Trouble};

#[tokio::test]
async fn statistics_of_a_server_whose_query_perf_fails_are_the_quick_ones() {
    let sim = Sim::start(Model::demo()).await.unwrap();
    let config = Config::new(sim.url()).user(Model::USER).password(Model::PASSWORD);
    let client = Client::connect(config.thumbprint(&sim.thumbprint().unwrap().to_string())).await.unwrap();
    client.get::<VirtualMachine>("web-01").await.unwrap();
    for fault in ["RuntimeFault", "NoPermission", "InvalidArgument"] {
        sim.trouble(Trouble::none().fail("QueryPerf", fault, u32::MAX));
        let vm = client.get::<VirtualMachine>("web-01").await.unwrap().stats().await.unwrap();
        assert!(vm.cpu_usage_mhz.is_some() && vm.realtime.is_none(), "{fault}");
        assert!(vm.gaps.missing[0].why.contains(fault), "{:?}", vm.gaps);
        let host = client.get::<HostSystem>("esx-01.corp.example").await.unwrap().stats().await.unwrap();
        assert!(host.cpu_usage_mhz.is_some() && !host.gaps.missing.is_empty(), "{fault}");
    }
    sim.trouble(Trouble::none());
    assert!(client.get::<VirtualMachine>("web-01").await.unwrap().stats().await.unwrap().gaps.is_empty());
}
