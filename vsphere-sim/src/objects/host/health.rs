//! The sensors of a host.

use vsphere_model::types::{
    HealthSystemRuntime, HostHardwareElementInfo, HostHardwareStatusInfo, HostNumericSensorInfo, HostSystemHealthInfo,
    Poly,
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

pub(super) fn runtime(host: &Host) -> HealthSystemRuntime {
    let packages = host.hardware.num_cpu_pkgs;
    // A machine with one processor has no sensor at the second.
    let present = SENSORS.iter().filter(|(name, ..)| packages > 1 || !name.starts_with("Processor 2"));
    let sensor = |(index, &(name, reading, modifier, unit, kind)): (i64, &Sensor)| HostNumericSensorInfo {
        name: name.to_owned(),
        health_state: Some(Poly::new(element("green", "Green"))),
        current_reading: reading,
        unit_modifier: modifier,
        base_units: unit.to_owned(),
        sensor_type: kind.to_owned(),
        id: Some(format!("0.{}.{index}", host.number)),
        sensor_number: Some(index),
        ..Default::default()
    };
    let good = |name: String| Poly::new(HostHardwareElementInfo { name, status: Poly::new(element("Green", "Green")) });
    HealthSystemRuntime {
        system_health_info: Some(Box::new(HostSystemHealthInfo {
            numeric_sensor_info: (1..).zip(present).map(sensor).collect(),
        })),
        hardware_status_info: Some(Box::new(HostHardwareStatusInfo {
            memory_status_info: (1..=16).map(|slot| good(format!("Memory Device {slot} DIMM A{slot}"))).collect(),
            cpu_status_info: (1..=packages).map(|cpu| good(format!("CPU Package {cpu}"))).collect(),
            ..Default::default()
        })),
    }
}
