//! What features keep for a connection, each in a type of its own: the connection knows none of them.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use crate::error::Error;

/// What a feature keeps for a connection, such as a cache. It is made when it is first asked for.
pub(crate) trait Part: Any + Default + Send + Sync {
    /// The session has ended for this reason, and no other will be opened.
    fn ended(&self, _why: &Error) {}
}

/// The parts of a connection, by their types.
#[derive(Default)]
pub(crate) struct Parts(RwLock<HashMap<TypeId, Entry>>);

struct Entry {
    part: Arc<dyn Any + Send + Sync>,
    ended: fn(&(dyn Any + Send + Sync), &Error),
}

impl Parts {
    /// The part of this type.
    pub(crate) fn get<P: Part>(&self) -> Arc<P> {
        let of_type = |entry: &Entry| Arc::clone(&entry.part).downcast().ok();
        let found = self.0.read().unwrap_or_else(PoisonError::into_inner).get(&TypeId::of::<P>()).and_then(of_type);
        found.unwrap_or_else(|| {
            let mut parts = self.0.write().unwrap_or_else(PoisonError::into_inner);
            let entry = parts.entry(TypeId::of::<P>()).or_insert_with(|| Entry {
                part: Arc::new(P::default()),
                ended: |part, why| part.downcast_ref::<P>().into_iter().for_each(|part| part.ended(why)),
            });
            of_type(entry).unwrap_or_default()
        })
    }

    /// Tells every part that the session has ended.
    pub(crate) fn end(&self, why: &Error) {
        let parts = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let ended: Vec<_> = parts.values().map(|entry| (Arc::clone(&entry.part), entry.ended)).collect();
        drop(parts);
        ended.into_iter().for_each(|(part, ended)| ended(&*part, why));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a panic in a test is its failure report")]

    use std::sync::Mutex;

    use super::*;
    use crate::error::ErrorKind;

    #[derive(Default)]
    struct Numbers(Mutex<Vec<u8>>);

    impl Part for Numbers {}

    #[derive(Default)]
    struct Ends(Mutex<Vec<String>>);

    impl Part for Ends {
        fn ended(&self, why: &Error) {
            self.0.lock().unwrap().push(why.to_string());
        }
    }

    #[test]
    fn a_part_is_made_once_for_each_connection() {
        let (one, other) = (Parts::default(), Parts::default());
        one.get::<Numbers>().0.lock().unwrap().push(7);
        assert_eq!(*one.get::<Numbers>().0.lock().unwrap(), [7]);
        assert!(other.get::<Numbers>().0.lock().unwrap().is_empty());
    }

    #[test]
    fn every_part_is_told_of_the_end() {
        let parts = Parts::default();
        parts.get::<Numbers>();
        let ends = parts.get::<Ends>();
        parts.end(&Error::new("log out", ErrorKind::Cancelled));
        assert_eq!(ends.0.lock().unwrap().len(), 1);
    }
}
