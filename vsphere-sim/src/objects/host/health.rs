//! The sensors of a host.

use vsphere_model::types::{
    ElementDescription, HealthSystemRuntime, HostHardwareElementInfo, HostHardwareStatusInfo, HostNumericSensorInfo,
    HostSystemHealthInfo, Poly,
};

use super::{Host, hardware::element};

/// What is measured: name, reading, its power of ten, unit, kind.
type Sensor = (&'static str, i64, i32, &'static str, &'static str);

const SENSORS: [Sensor; 12] = [
    ("System Board 1 Inlet Temp", 2300, -2, "Degrees C", "temperature"),
    ("System Board 1 Exhaust Temp", 3400, -2, "Degrees C", "temperature"),
    ("Processor 1 Temp", 4800, -2, "Degrees C", "temperature"),
    ("Processor 2 Temp", 4700, -2, "Degrees C", "temperature"),
    ("System Board 1 Fan1A", 5_640, 0, "RPM", "fan"),
    ("System Board 1 Fan2A", 5_520, 0, "RPM", "fan"),
    ("System Board 1 Fan3A", 5_640, 0, "RPM", "fan"),
    ("Power Supply 1 Voltage 1", 23_000, -2, "Volts", "voltage"),
    ("Power Supply 2 Voltage 2", 23_100, -2, "Volts", "voltage"),
    ("System Board 1 Pwr Consumption", 31_200, -2, "Watts", "power"),
    ("Power Supply 1 Current 1", 70, -2, "Amps", "power"),
    ("Power Supply 2 Current 2", 68, -2, "Amps", "power"),
];

/// Whether a host has a sensor or a part of this name that is watched.
pub(crate) fn has(host: &Host, name: &str) -> bool {
    let runtime = runtime(host);
    let sensor = runtime.system_health_info.iter().flat_map(|info| &info.numeric_sensor_info).any(|at| at.name == name);
    let parts = runtime.hardware_status_info.iter();
    sensor
        || parts.flat_map(|info| info.memory_status_info.iter().chain(&info.cpu_status_info)).any(|at| at.name == name)
}

/// The colour of a sensor or a part.
fn state_of(host: &Host, name: &str) -> ElementDescription {
    match host.ailments.sensors.get(name).copied() {
        Some("red") => element("red", "Red"),
        Some(_) => element("yellow", "Yellow"),
        None => element("green", "Green"),
    }
}

pub(super) fn runtime(host: &Host) -> HealthSystemRuntime {
    let packages = host.hardware.num_cpu_pkgs;
    // A machine with one processor has no sensor at the second.
    let present = SENSORS.iter().filter(|(name, ..)| packages > 1 || !name.starts_with("Processor 2"));
    let sensor = |(index, &(name, reading, modifier, unit, kind)): (i64, &Sensor)| HostNumericSensorInfo {
        name: name.to_owned(),
        health_state: Some(Poly::new(state_of(host, name))),
        current_reading: reading,
        unit_modifier: modifier,
        base_units: unit.to_owned(),
        sensor_type: kind.to_owned(),
        id: Some(format!("0.{}.{index}", host.number)),
        sensor_number: Some(index),
        ..Default::default()
    };
    let part = |name: String| {
        let status = state_of(host, &name);
        // Of parts a vCenter writes the colour with a capital.
        Poly::new(HostHardwareElementInfo { name, status: Poly::new(element(&status.label.clone(), &status.label)) })
    };
    HealthSystemRuntime {
        system_health_info: Some(Box::new(HostSystemHealthInfo {
            numeric_sensor_info: (1..).zip(present).map(sensor).collect(),
        })),
        hardware_status_info: Some(Box::new(HostHardwareStatusInfo {
            memory_status_info: (1..=16).map(|slot| part(format!("Memory Device {slot} DIMM A{slot}"))).collect(),
            cpu_status_info: (1..=packages).map(|cpu| part(format!("CPU Package {cpu}"))).collect(),
            ..Default::default()
        })),
    }
}
