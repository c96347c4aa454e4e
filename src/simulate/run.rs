//! One attempt of one run with everything that a host would say about it besides its life.
//! Plain values; the lives are in `life`, the JSON with the hosts.

use std::fmt;

use pipecast_model::{Host, Timestamp};

use crate::simulate::life::Life;

/// Which execution something is about, in the host's own ids.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExecutionKey {
    /// Where.
    pub host: Host,
    /// The project's id there.
    pub project: String,
    /// The run's id there; attempts share it.
    pub run: String,
    /// 1 for the first try. Always 1 at GitLab, which opens the same pipeline again.
    pub attempt: i64,
}

impl fmt::Display for ExecutionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}/{}", self.host, self.project, self.run, self.attempt)
    }
}

/// A commit.
#[derive(Clone, Debug)]
pub struct Commit {
    /// Its hash.
    pub sha: String,
    /// The one before it on its branch.
    pub before: String,
    /// First line of its message.
    pub title: &'static str,
    /// Who wrote it.
    pub author: usize,
    /// When.
    pub at: Timestamp,
}

/// A pull or merge request that is open.
#[derive(Clone, Debug)]
pub struct Change {
    /// Its number in the project.
    pub number: i64,
    /// Its title.
    pub title: &'static str,
    /// The branch that is proposed.
    pub branch: String,
    /// Who opened it.
    pub author: usize,
    /// When.
    pub opened: Timestamp,
}

/// One attempt of one run.
#[derive(Clone, Debug)]
pub struct Run {
    /// Which repository of the world.
    pub repository: usize,
    /// Which of its definitions.
    pub definition: usize,
    /// Id at the host.
    pub id: i64,
    /// The host's count.
    pub number: i64,
    /// 1 for the first try.
    pub attempt: i64,
    /// When the first attempt was made.
    pub first_created: Timestamp,
    /// The branch.
    pub branch: String,
    /// What is built.
    pub commit: Commit,
    /// Who set it off.
    pub actor: usize,
    /// What set it off, in the host's word.
    pub event: &'static str,
    /// The pull or merge request that it is for.
    pub change: Option<Change>,
    /// What happens to it.
    pub life: Life,
    /// Tellings that are still to come.
    pub cues: usize,
}
