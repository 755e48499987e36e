//! The input of the benchmarks: the answer of a property collector that holds the whole `config` of many machines.

use std::error::Error;
use std::{env, fs};

/// One machine's answer, recorded from vcsim.
const RECORDED: &str = include_str!("../../tests/data/vm_config.xml");

/// The answer that the command line asks for: `--input FILE`, else the recorded machine `--vms` times.
pub(crate) fn input() -> Result<String, Box<dyn Error>> {
    Ok(match option("--input") {
        Some(file) => fs::read_to_string(file)?,
        None => answer(option("--vms").map_or(Ok(5_000), |n| n.parse())?),
    })
}

/// The value of a command line option.
pub(crate) fn option(name: &str) -> Option<String> {
    env::args().skip_while(|arg| arg != name).nth(1)
}

/// The recorded answer with `vms` machines in it, each with its own ids, names and numbers.
fn answer(vms: usize) -> String {
    let (head, rest) = RECORDED.split_once("<objects>").unwrap_or(("", RECORDED));
    let (machine, tail) = rest.split_once("</objects>").unwrap_or((rest, ""));
    let mut out = head.to_owned();
    for n in 0..vms {
        let machine = machine
            .replace("vm-62", &format!("vm-{}", 1_000 + n))
            .replace("DC0_H0_VM0", &format!("web-{n:05}.example.org"))
            .replace("265104de", &format!("{:08x}", 0x2651_04de_u32.wrapping_mul(2 * n as u32 + 1)))
            .replace("b4689bed", &format!("{:08x}", 0xb468_9bed_u32.wrapping_mul(2 * n as u32 + 1)))
            .replace("<memoryMB>32<", &format!("<memoryMB>{}<", 1_024 << (n % 7)))
            .replace("<numCPU>1<", &format!("<numCPU>{}<", 1 << (n % 5)))
            .replace("10737418240", &(10_737_418_240_u64 + n as u64 * 1_048_576).to_string())
            .replace("10485760", &(10_485_760 + n * 1_024).to_string());
        out.push_str("<objects>");
        out.push_str(&machine);
        out.push_str("</objects>");
    }
    out.push_str(tail);
    out
}
