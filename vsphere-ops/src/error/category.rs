//! The kind of a failure, as coarse as a caller decides by it.

use std::fmt;

/// The kind of a failure, as coarse as a caller decides by it.
///
/// ```
/// use vsphere_ops::{Category, Error};
///
/// fn exit_code(error: &Error) -> u8 {
///     match error.category() {
///         Category::NotFound | Category::Ambiguous | Category::InvalidArgument => 2,
///         Category::Auth | Category::Permission => 3,
///         _ => 1,
///     }
/// }
/// assert_eq!(Category::NotFound.as_str(), "not_found");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Category {
    /// There is no such object, or no longer.
    NotFound,
    /// Several objects fit.
    Ambiguous,
    /// The user lacks a right.
    Permission,
    /// The server refused the credentials.
    Auth,
    /// The server lost or refused a session that the credentials had opened: neither they nor the user's rights are at fault.
    Session,
    /// The time was up.
    Timeout,
    /// The server was not reached, or the connection broke off.
    Connection,
    /// An answer is not what the API describes, or the answers have no end.
    Protocol,
    /// A setting of the client makes no sense.
    Config,
    /// An argument makes no sense.
    InvalidArgument,
    /// The object is in a state in which this can't be done.
    InvalidState,
    /// The object is no longer as it was when a plan was made: `changed`.
    Changed,
    /// The server can't do this.
    Unsupported,
    /// A local file, or another source or sink of the user's, failed.
    File,
    /// A file is not the one that was expected.
    Corrupt,
    /// The work was cancelled.
    Cancelled,
    /// Another fault of the server.
    Fault,
}

impl Category {
    /// The word for it, for programs: `not_found`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::Ambiguous => "ambiguous",
            Self::Permission => "permission",
            Self::Auth => "auth",
            Self::Session => "session",
            Self::Timeout => "timeout",
            Self::Connection => "connection",
            Self::Protocol => "protocol",
            Self::Config => "config",
            Self::InvalidArgument => "invalid_argument",
            Self::InvalidState => "invalid_state",
            Self::Changed => "changed",
            Self::Unsupported => "unsupported",
            Self::File => "file",
            Self::Corrupt => "corrupt",
            Self::Cancelled => "cancelled",
            Self::Fault => "fault",
        }
    }
}

impl fmt::Display for Category {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
