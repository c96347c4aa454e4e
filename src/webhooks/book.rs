//! The book of sources: whom this node believes at the moment, all of it in memory. Looking somebody up takes no lock.
//! Knows nothing of the database, nor of signatures.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use pipecast_model::Host;

use super::trust::Entry;

/// Sources of the configuration and of the database.
#[derive(Debug)]
pub(super) struct Book {
    configured: HashMap<Host, HashMap<String, Arc<Entry>>>,
    /// Exchanged as a whole, so that nobody who reads waits for whoever writes.
    read: ArcSwap<Pages>,
}

/// What was read from the database.
#[derive(Clone, Debug, Default)]
struct Pages {
    sources: HashMap<Host, HashMap<String, Arc<Entry>>>,
    /// Where the last change that is in it stands among all changes.
    revision: i64,
    /// Whether everything has been read at least once.
    whole: bool,
}

/// Who is in the book under a path.
#[derive(Clone, Debug)]
pub(super) enum Found {
    /// This source.
    Source(Arc<Entry>),
    /// Nobody.
    Nobody,
    /// That cannot be told, because sources or their secrets have not been read.
    Unread,
}

/// A source that is new or has changed, under its path.
pub(super) type Change = (Host, String, Entry);

impl Book {
    /// A book that knows the sources of the configuration.
    pub(super) fn new(configured: impl IntoIterator<Item = (Host, String, Entry)>) -> Book {
        let mut book = Book {
            configured: HashMap::new(),
            read: ArcSwap::default(),
        };
        for (host, key, entry) in configured {
            book.configured.entry(host).or_default().insert(key, Arc::new(entry));
        }
        book
    }

    /// Who is under this path.
    pub(super) fn find(&self, host: Host, key: &str) -> Found {
        if let Some(entry) = self.configured.get(&host).and_then(|sources| sources.get(key)) {
            return Found::Source(Arc::clone(entry));
        }
        let pages = self.read.load();
        match pages.sources.get(&host).and_then(|sources| sources.get(key)) {
            Some(entry) if entry.unreadable => Found::Unread,
            Some(entry) => Found::Source(Arc::clone(entry)),
            None if pages.whole => Found::Nobody,
            None => Found::Unread,
        }
    }

    /// Up to where changes are in it.
    pub(super) fn revision(&self) -> i64 {
        self.read.load().revision
    }

    /// Sources of the database, and those among them whose secrets could not be opened.
    pub(super) fn count(&self) -> (usize, usize) {
        let pages = self.read.load();
        let entries = pages.sources.values().flat_map(HashMap::values);
        entries.fold((0, 0), |(all, unreadable), entry| (all + 1, unreadable + usize::from(entry.unreadable)))
    }

    /// Everything has been read up to a revision, and this is new. An entry that is newer in the book stays.
    pub(super) fn learn(&self, changes: Vec<Change>, revision: i64) {
        let before = self.read.load();
        if changes.is_empty() && before.whole && before.revision >= revision {
            return;
        }
        self.change(&changes, Some(revision));
    }

    /// One source was read by itself. Says whether that was news.
    pub(super) fn learn_one(&self, change: Change) -> bool {
        let known = match self.read.load().sources.get(&change.0).and_then(|sources| sources.get(&change.1)) {
            Some(entry) => entry.revision,
            None => 0,
        };
        if change.2.revision <= known {
            return false;
        }
        self.change(&[change], None);
        true
    }

    fn change(&self, changes: &[Change], revision: Option<i64>) {
        // Two that change at once: the second one begins again with what the first has made.
        self.read.rcu(|pages| {
            let mut pages = Pages::clone(pages);
            for (host, key, entry) in changes {
                let sources = pages.sources.entry(*host).or_default();
                let known = sources.get(key).map_or(0, |known| known.revision);
                if entry.revision >= known {
                    sources.insert(key.clone(), Arc::new(entry.clone()));
                }
            }
            if let Some(revision) = revision {
                (pages.whole, pages.revision) = (true, pages.revision.max(revision));
            }
            pages
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(revision: i64) -> Entry {
        Entry { revision, ..Entry::default() }
    }

    fn change(key: &str, entry: Entry) -> Change {
        (Host::Github, key.to_owned(), entry)
    }

    fn revision_of(book: &Book, key: &str) -> Option<i64> {
        match book.find(Host::Github, key) {
            Found::Source(entry) => Some(entry.revision),
            Found::Nobody => Some(-1),
            Found::Unread => None,
        }
    }

    #[test]
    fn before_it_was_read_nobody_is_unknown() {
        let book = Book::new([(Host::Github, "default".to_owned(), Entry::default())]);

        assert_eq!(revision_of(&book, "default"), Some(0));
        assert_eq!(revision_of(&book, "k"), None);
        book.learn(Vec::new(), 0);
        assert_eq!(revision_of(&book, "k"), Some(-1));
    }

    #[test]
    fn what_is_newer_stays_whoever_brings_what_is_older() {
        let book = Book::new([]);
        book.learn(vec![change("k", entry(3))], 3);

        assert!(book.learn_one(change("k", entry(5))));
        assert!(!book.learn_one(change("k", entry(5))));
        book.learn(vec![change("k", entry(4))], 4);

        assert_eq!((revision_of(&book, "k"), book.revision()), (Some(5), 4));
    }

    #[test]
    fn a_source_whose_secrets_cannot_be_opened_is_not_unknown() {
        let book = Book::new([]);
        let sealed = Entry { unreadable: true, ..entry(1) };

        book.learn(vec![change("k", sealed)], 1);

        assert_eq!(revision_of(&book, "k"), None);
        assert_eq!(book.count(), (1, 1));
    }
}
