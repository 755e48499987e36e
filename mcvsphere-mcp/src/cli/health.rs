//! `mcvsphere health`: what a supervisor without a client for HTTP asks, such as that of a container.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context, anyhow};
use vsphere_soap::http::{Endpoint, Exchange, Transport, TransportOptions, Trust, Verb};

use crate::Settings;

/// How long the server may take to answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// Asks the server of these settings, which runs on this computer.
///
/// # Errors
/// It does not answer, or says that it does not live.
pub(super) async fn run(settings: &Settings, print: impl Fn(&str) -> io::Result<()>) -> anyhow::Result<ExitCode> {
    let scheme = if settings.tls_cert().is_some() { "https" } else { "http" };
    let address = SocketAddr::new(near(settings.listen_address()), settings.port());
    let endpoint: Endpoint = format!("{scheme}://{address}").parse()?;
    // Nothing secret is sent, and the certificate is for the name by which others know this server.
    let options = TransportOptions::new().trust(Trust::Insecure).connect_timeout(PATIENCE).request_timeout(PATIENCE);
    let transport = Transport::new(endpoint, options)?;
    let asked = transport.exchange(Exchange::new("ask the server whether it lives", Verb::Get, "/healthz")).await;
    match asked.with_context(|| format!("no server lives at {address} (MCP_HOST, MCP_PORT)"))?.status {
        200 => print("ok").map(|()| ExitCode::SUCCESS).map_err(Into::into),
        status => Err(anyhow!("what listens at {address} (MCP_HOST, MCP_PORT) answers with HTTP's {status}")),
    }
}

/// The address by which this computer reaches a server that listens at this one.
fn near(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(it) if it.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(it) if it.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        other => other,
    }
}
