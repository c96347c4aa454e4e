//! One topic of one connection: where it stands in the feed, and what it sends next.

use std::sync::Arc;

use bytes::Bytes;
use pipecast_model::Topic;
use pipecast_watch::{Last, Listener};

use super::frame;
use super::protocol;
use super::rights::Rights;
use super::runs::Runs;

/// Pipelines in one page of the monitor's snapshot.
const PAGE: usize = 100;

/// In which form a connection takes its states.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// WebSocket frames.
    Socket,
    /// Server-sent events.
    Events,
}

impl Form {
    /// A JSON object that is not a shared value.
    pub fn object(self, kind: &str, json: &str) -> Bytes {
        match self {
            Form::Socket => frame::text(json),
            Form::Events => frame::event(kind, None, json),
        }
    }

    fn snapshot(self, last: &Last) -> Bytes {
        match self {
            Form::Socket => frame::socket_snapshot(last),
            Form::Events => frame::event_snapshot(last),
        }
    }

    /// A value as a change.
    pub fn change(self, last: &Last) -> Bytes {
        match self {
            Form::Socket => frame::socket_change(last),
            Form::Events => frame::event_change(last),
        }
    }
}

/// A topic that a connection watches.
#[derive(Debug)]
pub struct Watching {
    listener: Listener,
    form: Form,
    place: Place,
    /// The monitor's snapshot is to begin once more after the one that is being sent: to whoever has half of one, the other half is of the same.
    is_due_again: bool,
}

#[derive(Debug)]
enum Place {
    /// Nothing has been sent.
    Start,
    /// In the middle of the monitor's snapshot.
    Pages { after: u64, until: u64 },
    /// Everything up to this number has been sent.
    After(u64),
}

impl Watching {
    /// Starts with a snapshot, unless `since` is the very state that the topic is in. Another program's word has no cursor, and
    /// whoever has seen one may hold the cursor of the state that it lay over.
    pub fn new(listener: Listener, form: Form, since: Option<&str>) -> Self {
        let feed = listener.feed();
        let current = feed
            .page(0, u64::MAX, 1)
            .pop()
            .filter(|(_, last)| feed.topic() == last.topic && last.id.is_some() && !last.is_restored && since == last.id.as_deref());
        let place = match current {
            Some((number, _)) => Place::After(number),
            None => Place::Start,
        };
        Watching {
            listener,
            form,
            place,
            is_due_again: false,
        }
    }

    /// The topic.
    pub fn topic(&self) -> Topic {
        self.listener.feed().topic()
    }

    /// The newest value.
    pub fn last(&self) -> Option<Arc<Last>> {
        self.listener.feed().last()
    }

    /// What is seen of the monitor is another picture now, so it is sent anew: what is not in it any more is gone from the client's, too.
    pub fn begin_anew(&mut self) {
        match self.place {
            Place::After(_) => self.place = Place::Start,
            Place::Pages { .. } => self.is_due_again = true,
            Place::Start => {}
        }
    }

    /// Whether the cursor of the client was current, so that no snapshot follows.
    pub fn is_resumed(&self) -> bool {
        matches!(self.place, Place::After(_))
    }

    /// The cursor of the topic's state, or of the one that another program's word lies over.
    pub fn id(&self) -> Option<String> {
        match self.topic() {
            Topic::Monitor => None,
            _ => self.last().and_then(|last| last.cursor()),
        }
    }

    /// What is to be sent next; `None` while there is nothing new. For `limited` rights the monitor leaves out what they do not see, and an execution
    /// what it has become in a pipeline that is hidden from them; a pipeline's own topic they may watch or not.
    pub fn take(&mut self, runs: &Runs, limited: Option<&Rights>) -> Option<Bytes> {
        let limited = limited.filter(|_| !matches!(self.topic(), Topic::Pipeline(_)));
        match self.place {
            Place::After(after) if limited.is_some() => self.next_seen(after, limited?),
            Place::After(after) => {
                let (until, bytes) = runs.after(self.listener.feed(), self.form, after)?;
                self.place = Place::After(until);
                Some(bytes)
            }
            Place::Start if self.topic() == Topic::Monitor => {
                let until = self.listener.feed().newest();
                self.place = Place::Pages { after: 0, until };
                self.take(runs, limited)
            }
            Place::Start => Some(self.first(limited)),
            Place::Pages { after, until } => Some(self.page(after, until, limited)),
        }
    }

    fn first(&mut self, limited: Option<&Rights>) -> Bytes {
        let first = self.listener.feed().page(0, u64::MAX, 1).pop();
        self.place = Place::After(first.as_ref().map_or(0, |(number, _)| *number));
        match first.filter(|(_, last)| limited.is_none_or(|rights| rights.sees(last))) {
            Some((_, last)) => self.form.snapshot(&last),
            None => self.form.object("snapshot", &protocol::unknown(self.topic())),
        }
    }

    /// The next change that somebody with limited rights sees.
    fn next_seen(&mut self, after: u64, rights: &Rights) -> Option<Bytes> {
        let feed = self.listener.feed();
        let mut reached = after;
        let mut seen = None;
        while let Some((number, last)) = feed.next(reached) {
            reached = number;
            if rights.sees(&last) {
                seen = Some(self.form.change(&last));
                break;
            }
        }
        self.place = Place::After(reached);
        seen
    }

    fn page(&mut self, after: u64, until: u64, limited: Option<&Rights>) -> Bytes {
        let mut values = self.listener.feed().page(after, until, PAGE + 1);
        let complete = values.len() <= PAGE;
        values.truncate(PAGE);
        self.place = match values.last() {
            Some((number, _)) if !complete => Place::Pages { after: *number, until },
            _ if std::mem::take(&mut self.is_due_again) => Place::Start,
            _ => Place::After(until),
        };
        let seen = values.iter().filter(|(_, last)| limited.is_none_or(|rights| rights.sees(last)));
        let entries: Vec<_> = seen.map(|(_, last): &(u64, Arc<Last>)| last.entry()).collect();
        self.form.object("snapshot", &protocol::page(&entries, complete))
    }
}
