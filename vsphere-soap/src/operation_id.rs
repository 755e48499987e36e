//! The operation ID: a text that a server writes into its log beside what a request does there (`opID` in the logs of vCenter
//! and of hosts), so that it can be found by what its client logs.

use std::fmt;
use std::sync::Arc;

tokio::task_local! {
    static CURRENT: OperationId;
}

/// The most characters of an operation ID.
const MOST: usize = 40;

/// An operation ID.
///
/// ```
/// use vsphere_soap::operation_id::OperationId;
///
/// assert_eq!(OperationId::new("mcv-1f00-jörg\n").as_str(), "mcv-1f00-j-rg-");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperationId(Arc<str>);

impl OperationId {
    /// An operation ID of this text: its first 40 characters, each a letter, a digit or one of `-_.@`, or else a dash.
    pub fn new(text: &str) -> Self {
        let safe = |c: char| if c.is_ascii_alphanumeric() || "-_.@".contains(c) { c } else { '-' };
        Self(text.chars().map(safe).take(MOST).collect::<String>().into())
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Does some work, each SOAP request of which has this operation ID. A task that the work spawns has none.
    ///
    /// ```
    /// # async fn run(work: impl Future<Output = ()>) {
    /// use vsphere_soap::operation_id::OperationId;
    ///
    /// OperationId::new("nightly-report").scope(work).await;
    /// # }
    /// ```
    pub async fn scope<T>(self, work: impl Future<Output = T>) -> T {
        CURRENT.scope(self, work).await
    }

    /// That of the work that is done now.
    pub(crate) fn current() -> Option<Self> {
        CURRENT.try_with(Clone::clone).ok()
    }
}

impl fmt::Display for OperationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_is_that_of_the_work_alone() {
        assert_eq!(OperationId::current(), None);
        let work = async {
            let inner = OperationId::new("inner").scope(async { OperationId::current() }).await;
            let spawned = tokio::spawn(async { OperationId::current() }).await;
            (OperationId::current(), inner, spawned.ok().flatten())
        };
        let seen = OperationId::new("outer").scope(work).await;
        assert_eq!(seen, (Some(OperationId::new("outer")), Some(OperationId::new("inner")), None));
        assert_eq!(OperationId::current(), None);
    }

    #[test]
    fn it_is_short_and_needs_no_escape() {
        assert_eq!(OperationId::new("a</operationID>&\"").as_str(), "a--operationID---");
        assert_eq!(OperationId::new(&"x".repeat(100)).as_str().len(), MOST);
    }
}
