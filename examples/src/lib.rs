//! Runnable examples of the vSphere crates of this workspace.
