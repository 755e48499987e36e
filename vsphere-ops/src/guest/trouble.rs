//! What a fault of a guest operation means.

use vsphere_model::types::SystemError;

use crate::error::{Category, Circumstance, Error};

/// Why a guest did not do what was asked.
///
/// ```
/// use vsphere_ops::Error;
/// use vsphere_ops::guest::GuestTrouble;
///
/// fn may_pass(error: &Error) -> bool {
///     matches!(error.guest_trouble(), Some(GuestTrouble::NotReady | GuestTrouble::TooManyLogons))
/// }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum GuestTrouble {
    /// The VM does not run.
    NotRunning,
    /// VMware Tools do not take operations: they do not run, or the guest is starting or restarting.
    NotReady,
    /// The guest refuses user or password, or the account is locked or has expired.
    Login,
    /// The user of the guest may not do this.
    Denied,
    /// There are as many logons as the guest allows.
    TooManyLogons,
    /// The configuration of VMware Tools forbids it.
    Disabled,
    /// This kind of guest can't do it.
    Unsupported,
    /// VMware Tools are too old.
    OldTools,
    /// There is no such file, directory or program.
    Missing,
    /// There is something at this path already.
    Exists,
    /// It is a directory.
    NotAFile,
    /// It is no directory.
    NotADirectory,
    /// The directory has content.
    NotEmpty,
    /// It is a symbolic link, which is not followed.
    Link,
    /// The file can't be read or written, as on a read-only file system.
    Inaccessible,
    /// A program has the file open.
    InUse,
    /// The file system is full.
    DiskFull,
    /// There is no such process, or no longer.
    NoProcess,
    /// The URL of a transfer was used, has expired, or ended with the run of its VM.
    UrlEnded,
    /// The host of the VM, which has the content of its files, can't be reached from here.
    HostUnreachable,
}

/// Faults and what they mean. A fault that extends another comes before it.
const FAULTS: &[(&str, GuestTrouble)] = &[
    ("InvalidPowerState", GuestTrouble::NotRunning),
    ("GuestOperationsUnavailable", GuestTrouble::NotReady),
    ("InvalidGuestLogin", GuestTrouble::Login),
    ("GuestPermissionDenied", GuestTrouble::Denied),
    ("TooManyGuestLogons", GuestTrouble::TooManyLogons),
    ("OperationDisabledByGuest", GuestTrouble::Disabled),
    ("OperationNotSupportedByGuest", GuestTrouble::Unsupported),
    ("GuestComponentsOutOfDate", GuestTrouble::OldTools),
    ("GuestProcessNotFound", GuestTrouble::NoProcess),
    ("FileNotFound", GuestTrouble::Missing),
    ("FileAlreadyExists", GuestTrouble::Exists),
    ("NotAFile", GuestTrouble::NotAFile),
    ("NotADirectory", GuestTrouble::NotADirectory),
    ("DirectoryNotEmpty", GuestTrouble::NotEmpty),
    ("NoDiskSpace", GuestTrouble::DiskFull),
    ("FileLocked", GuestTrouble::InUse),
    ("CannotAccessFile", GuestTrouble::Inaccessible),
];

impl GuestTrouble {
    /// What the fault of a guest operation means.
    pub(super) fn of(error: &Error) -> Option<Self> {
        // Tools that are starting or stopping answer with an error of their own library.
        if error.fault::<SystemError>().is_some_and(|fault| fault.reason.contains("(3016,")) {
            return Some(Self::NotReady);
        }
        FAULTS.iter().find(|(fault, _)| error.is_fault(fault)).map(|(_, trouble)| *trouble)
    }

    pub(crate) fn category(self) -> Category {
        match self {
            Self::Login => Category::Auth,
            Self::Denied => Category::Permission,
            Self::Missing | Self::NoProcess => Category::NotFound,
            Self::Disabled | Self::Unsupported | Self::OldTools => Category::Unsupported,
            Self::NotAFile | Self::NotADirectory | Self::Link => Category::InvalidArgument,
            Self::HostUnreachable => Category::Connection,
            Self::NotRunning
            | Self::NotReady
            | Self::TooManyLogons
            | Self::Exists
            | Self::NotEmpty
            | Self::Inaccessible
            | Self::InUse
            | Self::DiskFull
            | Self::UrlEnded => Category::InvalidState,
        }
    }

    /// The clause that an error's text ends with, where the server does not say it.
    pub(crate) fn told(self) -> Option<&'static str> {
        Some(match self {
            Self::Login => "it refuses the user name or the password, or the account is locked or has expired",
            Self::NotReady => "VMware Tools take no operations now",
            Self::Denied => "this user of the guest may not do that",
            Self::OldTools => "VMware Tools in the guest are too old for this",
            Self::Disabled => "the configuration of VMware Tools in the guest forbids it",
            Self::InUse => "a program in the guest has it open",
            _ => return None,
        })
    }
}

impl Error {
    /// Why a guest did not do what was asked, where that is the cause.
    pub fn guest_trouble(&self) -> Option<GuestTrouble> {
        match self.circumstance() {
            Some(Circumstance::Guest(trouble)) => Some(*trouble),
            _ => None,
        }
    }
}
