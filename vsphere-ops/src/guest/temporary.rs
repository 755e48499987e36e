//! What a command leaves in a guest for a while: its files, and itself. It goes on every way out.

use super::Guest;
use crate::error::Result;
use crate::guard;

/// Files that are made in the guest for a command, and the process that uses them. Where this is dropped before the command
/// has come to its end, the process is ended and the files are deleted, in the background.
pub(super) struct Temporary {
    guest: Guest,
    pub(super) files: Vec<String>,
    pub(super) pid: Option<i64>,
}

/// What the names of the files begin with.
const PREFIX: &str = "mcv-";

impl Temporary {
    pub(super) fn new(guest: &Guest) -> Self {
        Self { guest: guest.clone(), files: Vec::new(), pid: None }
    }

    /// Makes an empty file: its path.
    pub(super) async fn file(&mut self, suffix: &str) -> Result<String> {
        let guest = &self.guest;
        let path = guest
            .ask("make a temporary file in the guest of", || {
                guest.files.create_temporary_file_in_guest(guest.vm.reference(), &guest.auth, PREFIX, suffix, None)
            })
            .await?;
        self.files.push(path.clone());
        Ok(path)
    }

    /// Deletes the files; those that could not be deleted stay, such as one that a program on Windows has open.
    pub(super) async fn clean(mut self) -> Vec<String> {
        self.pid = None;
        // One after the other leaves the list, so that a call that is given up here deletes the rest.
        let mut left = Vec::new();
        while let Some(path) = self.files.last().cloned() {
            let gone = self.guest.delete_file(&path).await;
            self.files.pop();
            if let Err(error) = gone
                && !error.is_not_found()
            {
                tracing::debug!(%error, "a temporary file was left in a guest");
                left.push(path);
            }
        }
        left
    }
}

impl Temporary {
    /// Ends the process and deletes the files, and goes on with that where this is given up.
    pub(super) async fn give_up(mut self) {
        let (pid, files) = (self.pid.take(), std::mem::take(&mut self.files));
        guard::cleaned_up(Self::remove(self.guest.clone(), pid, files)).await;
    }

    async fn remove(guest: Guest, pid: Option<i64>, files: Vec<String>) {
        if let Some(pid) = pid
            && let Err(error) = guest.terminate(pid).await
        {
            tracing::debug!(%error, "a program was left in a guest");
        }
        Self { guest, files, pid: None }.clean().await;
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let (pid, files) = (self.pid.take(), std::mem::take(&mut self.files));
        if pid.is_some() || !files.is_empty() {
            guard::clean_up(Self::remove(self.guest.clone(), pid, files));
        }
    }
}
