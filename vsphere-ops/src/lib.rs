//! Idiomatic async operations on VMware vSphere.
