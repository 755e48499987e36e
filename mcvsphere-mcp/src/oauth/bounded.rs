//! A map in memory whose entries end after a while, and of which there are never too many.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, PoisonError},
};

/// Entries that each live for the same time. Where there are too many, the oldest goes.
pub(super) struct Bounded<V> {
    most: usize,
    life: u64,
    entries: Mutex<Entries<V>>,
}

struct Entries<V> {
    by_key: HashMap<String, Entry<V>>,
    /// The oldest first. What was taken or replaced meanwhile has another number in the map, or none.
    by_age: VecDeque<(u64, String)>,
    next: u64,
}

struct Entry<V> {
    number: u64,
    ends: u64,
    value: V,
}

impl<V> Bounded<V> {
    /// At most so many entries, each for so many seconds.
    pub(super) fn new(most: usize, life: u64) -> Self {
        let entries = Entries { by_key: HashMap::new(), by_age: VecDeque::new(), next: 0 };
        Self { most, life, entries: Mutex::new(entries) }
    }

    /// Keeps an entry, in the place of one with the same key.
    pub(super) fn insert(&self, now: u64, key: &str, value: V) {
        self.with(now, |entries, ends| entries.insert(ends, key, value));
    }

    /// Keeps an entry unless there is one with this key, and says whether it was kept.
    pub(super) fn insert_new(&self, now: u64, key: &str, value: V) -> bool {
        self.with(now, |entries, ends| {
            let is_new = !entries.by_key.contains_key(key);
            if is_new {
                entries.insert(ends, key, value);
            }
            is_new
        })
    }

    /// The entry, which is gone afterwards.
    pub(super) fn take(&self, now: u64, key: &str) -> Option<V> {
        self.with(now, |entries, _| entries.by_key.remove(key).map(|entry| entry.value))
    }

    /// A copy of the entry.
    pub(super) fn get(&self, now: u64, key: &str) -> Option<V>
    where
        V: Clone,
    {
        self.with(now, |entries, _| entries.by_key.get(key).map(|entry| entry.value.clone()))
    }

    /// A copy of the entry, which is made where there is none.
    pub(super) fn get_or_insert(&self, now: u64, key: &str, make: impl FnOnce() -> V) -> V
    where
        V: Clone,
    {
        self.with(now, |entries, ends| {
            if let Some(entry) = entries.by_key.get(key) {
                return entry.value.clone();
            }
            let value = make();
            entries.insert(ends, key, value.clone());
            value
        })
    }

    fn with<T>(&self, now: u64, work: impl FnOnce(&mut Entries<V>, u64) -> T) -> T {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        // Room for one more, whether or not one is added.
        while let Some((number, key)) = entries.by_age.front() {
            let is_over = match entries.by_key.get(key) {
                Some(entry) if entry.number == *number => entry.ends <= now || entries.by_key.len() >= self.most,
                _ => true,
            };
            if !is_over {
                break;
            }
            if let Some((number, key)) = entries.by_age.pop_front()
                && entries.by_key.get(&key).is_some_and(|entry| entry.number == number)
            {
                entries.by_key.remove(&key);
            }
        }
        work(&mut entries, now.saturating_add(self.life))
    }
}

impl<V> Entries<V> {
    fn insert(&mut self, ends: u64, key: &str, value: V) {
        let number = self.next;
        self.next += 1;
        self.by_key.insert(key.to_owned(), Entry { number, ends, value });
        self.by_age.push_back((number, key.to_owned()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_end_and_the_oldest_makes_room() {
        let map = Bounded::new(3, 60);
        map.insert(0, "a", 1);
        map.insert(1, "b", 2);
        assert!(!map.insert_new(2, "a", 9));
        assert_eq!(map.get(59, "a"), Some(1));
        assert_eq!(map.get(60, "a"), None);
        assert_eq!(map.take(60, "b"), Some(2));
        assert_eq!(map.take(60, "b"), None);
        for key in ["c", "d", "e", "f"] {
            map.insert(61, key, 3);
        }
        assert_eq!((map.get(61, "c"), map.get(61, "f")), (None, Some(3)));
        for number in 0..10_000 {
            map.insert(62, &number.to_string(), number);
        }
        let entries = map.entries.lock().unwrap();
        assert!(entries.by_key.len() <= 3 && entries.by_age.len() <= 4);
    }
}
