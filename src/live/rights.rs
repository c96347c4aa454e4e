//! What an open connection may see: held by its badge, which every connection of the same session or token shares, and looked at again
//! whenever that has changed.
//! Knows nothing of frames.

use std::sync::Arc;

use pipecast_auth::homes::Thing;
use pipecast_auth::{Badge, Bearing, Entrant, Gatekeeper, Proof};
use pipecast_http::{Caller, Known};
use pipecast_model::{Permission, Timestamp, Topic, UserId};
use pipecast_store::Sight;
use pipecast_store::audit::Actor;
use pipecast_watch::Last;

/// The rights of one connection.
pub struct Rights {
    badge: Arc<Badge>,
    gatekeeper: Arc<Gatekeeper>,
    bearing: Arc<Bearing>,
    proof: Proof,
    /// The changes of the badge that have been looked at.
    seen: u32,
    /// What they saw then.
    sight: (Sight, u64),
    /// When the token that was shown ends, apart from its session.
    ends: Option<Timestamp>,
}

/// What has become of somebody's rights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// They may not be here any more.
    Gone,
    /// They may see other things than before.
    Changed,
    /// Something else about them has changed, or what they watch has to be looked at for the first time.
    Touched,
}

impl Rights {
    /// Looked after from now on.
    pub fn of(known: &Known, ends: Option<Timestamp>) -> Rights {
        known.gatekeeper().hold(known.badge());
        Rights {
            // So that the first look finds news: it may have changed since it was let in.
            seen: known.badge().changes().wrapping_sub(1),
            sight: sight_of(known.gatekeeper(), known.bearing()),
            bearing: Arc::new(known.bearing().clone()),
            badge: Arc::clone(known.badge()),
            proof: known.proof(),
            gatekeeper: Arc::clone(known.gatekeeper()),
            ends,
        }
    }

    /// Who it is.
    pub fn user(&self) -> UserId {
        self.bearing.user
    }

    /// The same for whoever asks about single things.
    pub fn caller(&self) -> Caller {
        Caller::Known(self.known())
    }

    /// Who it is, for the audit.
    pub fn actor(&self) -> Actor {
        self.known().actor()
    }

    fn known(&self) -> Known {
        let entrant = Entrant {
            badge: Arc::clone(&self.badge),
            bearing: Arc::clone(&self.bearing),
            proof: self.proof,
        };
        Known::new(Arc::clone(&self.gatekeeper), entrant)
    }

    /// When the token that was shown ends.
    pub fn ends(&self) -> Option<Timestamp> {
        self.ends
    }

    /// What has become of them since the last look; `None` where nothing has.
    pub fn news(&mut self) -> Option<News> {
        let changes = self.badge.changes();
        if changes == self.seen {
            return None;
        }
        self.seen = changes;
        let Some(bearing) = self.badge.bearing() else { return Some(News::Gone) };
        self.bearing = bearing;
        let before = std::mem::replace(&mut self.sight, sight_of(&self.gatekeeper, &self.bearing));
        Some(if before == self.sight { News::Touched } else { News::Changed })
    }

    /// Whether they see every pipeline, so that nothing has to be left out for them.
    pub fn sees_all(&self) -> bool {
        self.bearing.grants.sight(Permission::PipelinesRead) == Sight::All
    }

    /// Whether both see the same.
    pub fn sees_like(&self, other: &Rights) -> bool {
        self.sight == other.sight
    }

    /// Whether they may watch a topic which they have asked for before. `last` is its newest value: of which pipeline an execution is stands in it.
    pub fn may_watch(&self, topic: Topic, last: Option<&Last>) -> bool {
        let (thing, pipeline) = match topic {
            _ if self.sees_all() => return true,
            Topic::Monitor => return self.bearing.grants.may_somewhere(Permission::PipelinesRead),
            Topic::Pipeline(id) => (Thing::Pipeline(id), Some(id)),
            Topic::Execution(id) => (Thing::Execution(id), last.and_then(Last::pipeline)),
        };
        // The value itself says it where the node has forgotten, or has never asked because its caller saw everything.
        let home = self.gatekeeper.known_home(thing).or_else(|| last.and_then(Last::project));
        home.is_some_and(|home| self.gatekeeper.sees_pipeline(&self.bearing, home, pipeline))
    }

    /// Whether they see a value: of the monitor, the pipeline that it is about; of an execution that they may watch, whether the pipeline that it is
    /// of now is hidden from them.
    pub fn sees(&self, last: &Last) -> bool {
        match last.topic {
            _ if self.sees_all() => true,
            Topic::Pipeline(id) => last
                .project()
                .is_some_and(|project| self.gatekeeper.sees_pipeline(&self.bearing, project, Some(id))),
            Topic::Execution(_) => last.pipeline().is_none_or(|pipeline| !self.gatekeeper.hides(&self.bearing, pipeline)),
            Topic::Monitor => true,
        }
    }
}

/// What somebody sees: the same as before where it is equal to what it was. What becomes of internal projects is counted for those alone who see them.
fn sight_of(gatekeeper: &Gatekeeper, bearing: &Bearing) -> (Sight, u64) {
    let sight = bearing.grants.sight(Permission::PipelinesRead);
    let edition = match sight {
        Sight::Projects { internal: true, .. } => gatekeeper.internal_edition(),
        _ => 0,
    };
    (sight, edition)
}
