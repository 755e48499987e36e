//! Sends a disk that the program makes itself through a lease, and reads it back: neither needs a local file.
//!
//! ```text
//! lease_stream up NAME POOL DATASTORE MEGABYTES SEED
//! lease_stream down NAME
//! lease_stream make MEGABYTES SEED
//! VCENTER_HOST=vc.example.com VCENTER_USER=… VCENTER_PASSWORD=… lease_stream up test /dc/host/c/Resources nvme-01 4000 7
//! ```
//!
//! `make` writes the same disk to standard output. Its content can't be compressed: what `cargo xtask bench lease` sends.
#![allow(clippy::print_stdout, reason = "a program on the command line speaks by printing")]

use std::error::Error;
use std::io::{self, Write as _};

use futures::{Stream, TryStreamExt as _, stream};
use vsphere_ops::managed::{Datastore, OvfManager, ResourcePool, VirtualMachine};
use vsphere_ops::transfer::Lease;
use vsphere_ops::types::{OvfCreateImportSpecParams, Poly};
use vsphere_ops::{Client, Config};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["make", megabytes, seed] => make(Disk::new(megabytes, seed)?)?,
        ["up", name, pool, store, megabytes, seed] => {
            let client = Client::connect(Config::from_env()?).await?;
            println!("{}", up(&client, name, pool, store, Disk::new(megabytes, seed)?).await?);
            client.logout().await?;
        }
        ["down", name] => {
            let client = Client::connect(Config::from_env()?).await?;
            println!("{}", down(&client, name).await?);
            client.logout().await?;
        }
        _ => {
            return Err(
                "usage: lease_stream up NAME POOL DATASTORE MEGABYTES SEED | down NAME | make MEGABYTES SEED".into()
            );
        }
    }
    Ok(())
}

/// Makes a VM with this disk; the disk's checksum.
async fn up(client: &Client, name: &str, pool: &str, store: &str, disk: Disk) -> Result<String, Box<dyn Error>> {
    let pool = client.get::<ResourcePool>(pool).await?;
    let store = client.get::<Datastore>(store).await?;
    let manager = client.content().ovf_manager.as_ref().ok_or("the server has no OVF manager")?;
    let manager: OvfManager = client.raw(manager);
    let params = OvfCreateImportSpecParams { entity_name: name.to_owned(), ..Default::default() };
    let made =
        manager.create_import_spec(&descriptor(disk.bytes), pool.reference(), store.reference(), &Poly::new(params));
    let made = made.await?;
    let refused = || {
        made.error
            .first()
            .map_or("no specification".to_owned(), |fault| fault.localized_message.clone().unwrap_or_default())
    };
    let spec = made.import_spec.as_ref().ok_or_else(refused)?;

    let lease = pool.import_v_app(spec, None, None).await?;
    // From here on the lease is aborted, and the VM removed, unless it is completed.
    let lease = Lease::ready(client, &lease, &|_| ()).await?;
    let item = made.file_item.first().ok_or("the specification has no file")?;
    let device = lease.devices().iter().find(|device| device.import_key == item.device_id).ok_or("no place for it")?;
    lease.expect_bytes(disk.bytes);
    let bytes = disk.bytes;
    let sent = lease.upload_item(device, item).from_stream(disk.pieces(), bytes).await?;
    lease.complete().await?;
    Ok(sent.checksum.map(|sum| sum.to_string()).unwrap_or_default())
}

/// Reads the first disk of a VM; its checksum.
async fn down(client: &Client, name: &str) -> Result<String, Box<dyn Error>> {
    let lease = client.get::<VirtualMachine>(name).await?.export_lease().await?;
    let device = lease.devices().iter().find(|device| device.disk == Some(true)).ok_or("the VM has no disk")?;
    let mut pieces = lease.download(device).stream().await?;
    while let Some(piece) = pieces.try_next().await? {
        // What is done with a piece is up to the program.
        drop(piece);
    }
    let sum = pieces.checksum().map(ToString::to_string);
    drop(pieces);
    lease.complete().await?;
    Ok(sum.unwrap_or_default())
}

fn make(disk: Disk) -> io::Result<()> {
    let mut output = io::stdout().lock();
    (0..disk.blocks()).try_for_each(|number| output.write_all(&disk.block(number)))
}

/// A disk in the form that leases take, as far as its first bytes tell, and numbers by chance.
#[derive(Clone, Copy)]
struct Disk {
    bytes: u64,
    seed: u64,
}

const BLOCK: u64 = 250_000;

impl Disk {
    fn new(megabytes: &str, seed: &str) -> Result<Self, std::num::ParseIntError> {
        Ok(Self { bytes: megabytes.parse::<u64>()? * 1_000_000, seed: seed.parse()? })
    }

    fn blocks(self) -> u64 {
        self.bytes / BLOCK
    }

    fn block(self, number: u64) -> Vec<u8> {
        let first = self.seed.wrapping_add(number * BLOCK / 8);
        // SplitMix64, which finds each number by itself.
        let word = |at: u64| {
            let mut word = first.wrapping_add(at).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            word ^ (word >> 31)
        };
        let mut block: Vec<u8> = (0..BLOCK / 8).flat_map(|at| word(at).to_le_bytes()).collect();
        if number == 0 {
            block[..512].fill(0);
            block[..9].copy_from_slice(b"KDMV\x03\0\0\0\x01");
            (block[10], block[14], block[77]) = (3, 32, 1);
        }
        block
    }

    fn pieces(self) -> impl Stream<Item = io::Result<bytes::Bytes>> + Send {
        stream::iter((0..self.blocks()).map(move |number| Ok(self.block(number).into())))
    }
}

/// A VM with one disk.
fn descriptor(bytes: u64) -> String {
    include_str!("../one_disk.ovf").replace("{file}", "disk.vmdk").replace("{bytes}", &bytes.to_string())
}
