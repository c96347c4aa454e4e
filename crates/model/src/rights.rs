//! The words of rights: roles, what each of them permits, and the ids of those who have them.
//! Knows nothing of who has which.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A text that is none of the words of its kind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not one of {1}")]
pub struct UnknownWord(String, String);

// A word is a token and no literal: what derives the schema does not see through the group that a literal comes in.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:tt,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, sqlx::Type, utoipa::ToSchema)]
        #[sqlx(type_name = "TEXT")]
        pub enum $name {
            $($(#[$variant_doc])* #[serde(rename = $word)] #[sqlx(rename = $word)] $variant,)*
        }

        impl $name {
            /// All of them.
            pub const ALL: &[$name] = &[$($name::$variant),*];

            /// As it is written.
            pub const fn word(self) -> &'static str {
                match self { $($name::$variant => $word),* }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.word())
            }
        }

        impl FromStr for $name {
            type Err = UnknownWord;

            fn from_str(text: &str) -> Result<Self, UnknownWord> {
                let known = || Self::ALL.iter().map(|one| one.word()).collect::<Vec<_>>().join(", ");
                Self::ALL.iter().copied().find(|one| one.word() == text).ok_or_else(|| UnknownWord(text.to_owned(), known()))
            }
        }
    };
}

words! {
    /// What somebody is, everywhere or in one project.
    Role {
        /// Everything, everywhere.
        Admin = "admin",
        /// Runs a project: its pipelines, deliveries and members.
        Maintainer = "maintainer",
        /// Reads, and has tokens of their own.
        Viewer = "viewer",
        /// A program that sends, and reads nothing.
        Runner = "runner",
        /// A screen on a wall: reads pipelines and nothing else.
        Wallboard = "wallboard",
    }
}

words! {
    /// One thing that may be permitted; also the scope of a token.
    Permission {
        /// Pipelines, executions and jobs, and their changes as they happen.
        PipelinesRead = "pipelines:read",
        /// Names, visibility and archiving of pipelines.
        PipelinesWrite = "pipelines:write",
        /// The ledger of deliveries.
        DeliveriesRead = "deliveries:read",
        /// Replaying and dropping deliveries.
        DeliveriesReplay = "deliveries:replay",
        /// Sources and their secrets.
        SourcesManage = "sources:manage",
        /// Visibility and archiving of projects.
        ProjectsManage = "projects:manage",
        /// Who is in a project.
        MembersManage = "members:manage",
        /// Accounts, and what they may everywhere.
        UsersManage = "users:manage",
        /// One's own tokens.
        TokensManage = "tokens:manage",
        /// The settings.
        SettingsRead = "settings:read",
        /// Changing the settings.
        SettingsManage = "settings:manage",
        /// The record of what was changed.
        AuditRead = "audit:read",
        /// How the service itself is doing.
        SystemRead = "system:read",
        /// Sending logs and files.
        IngestWrite = "ingest:write",
    }
}

impl Role {
    /// What it permits, where it holds.
    pub const fn permits(self) -> &'static [Permission] {
        use Permission::{DeliveriesRead, DeliveriesReplay, IngestWrite, MembersManage, PipelinesRead, PipelinesWrite, SystemRead, TokensManage};
        match self {
            Role::Admin => Permission::ALL,
            Role::Maintainer => &[
                PipelinesRead,
                PipelinesWrite,
                DeliveriesRead,
                DeliveriesReplay,
                MembersManage,
                TokensManage,
                SystemRead,
            ],
            Role::Viewer => &[PipelinesRead, TokensManage, SystemRead],
            Role::Runner => &[IngestWrite],
            Role::Wallboard => &[PipelinesRead],
        }
    }

    /// Whether it can be held in one project; an admin is one everywhere or not at all.
    pub const fn is_of_a_project(self) -> bool {
        !matches!(self, Role::Admin)
    }
}

impl Permission {
    /// Those that a text names with spaces between; a word that no permission has is passed over.
    pub fn parse_list(text: &str) -> Vec<Permission> {
        text.split(' ').filter_map(|word| word.parse().ok()).collect()
    }

    /// The same text again.
    pub fn write_list(list: &[Permission]) -> String {
        list.iter().map(|permission| permission.word()).collect::<Vec<_>>().join(" ")
    }

    /// Whether it is about the whole service, so that a role in one project never gives it.
    pub const fn is_of_the_whole(self) -> bool {
        matches!(
            self,
            Permission::SourcesManage
                | Permission::ProjectsManage
                | Permission::UsersManage
                | Permission::SettingsRead
                | Permission::SettingsManage
                | Permission::AuditRead
        )
    }
}

/// Who sees a project without being its member.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, sqlx::Type, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
#[sqlx(type_name = "TEXT", rename_all = "lowercase")]
pub enum Visibility {
    /// Nobody.
    #[default]
    Private,
    /// Whoever is signed in.
    Internal,
}

impl Visibility {
    /// As it is written.
    pub const fn word(self) -> &'static str {
        match self {
            Visibility::Private => "private",
            Visibility::Internal => "internal",
        }
    }
}

/// Who sees a pipeline of a project that is seen. It only ever takes away: nobody sees a pipeline whose project they do not see.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, sqlx::Type, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
#[sqlx(type_name = "TEXT", rename_all = "lowercase")]
pub enum PipelineVisibility {
    /// Whoever sees its project.
    #[default]
    Project,
    /// Of those, only who may read pipelines in the project or everywhere; not who sees it because the project is internal.
    Private,
}

impl PipelineVisibility {
    /// As it is written.
    pub const fn word(self) -> &'static str {
        match self {
            PipelineVisibility::Project => "project",
            PipelineVisibility::Private => "private",
        }
    }

    /// What it comes to in a project that has this visibility.
    pub const fn in_project(self, project: Visibility) -> Visibility {
        match self {
            PipelineVisibility::Project => project,
            PipelineVisibility::Private => Visibility::Private,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_reads_back() {
        for role in Role::ALL {
            assert_eq!(role.word().parse(), Ok(*role));
        }
        for permission in Permission::ALL {
            assert_eq!(permission.word().parse(), Ok(*permission));
        }
        assert_eq!(
            "owner".parse::<Role>().expect_err("no such role").to_string(),
            "\"owner\" is not one of admin, maintainer, viewer, runner, wallboard"
        );
    }

    #[test]
    fn a_pipeline_is_never_seen_by_more_than_its_project() {
        use PipelineVisibility::{Private, Project};
        let of = |pipeline: PipelineVisibility| [Visibility::Private, Visibility::Internal].map(|project| pipeline.in_project(project));

        assert_eq!(of(Project), [Visibility::Private, Visibility::Internal]);
        assert_eq!(of(Private), [Visibility::Private; 2]);
    }

    #[test]
    fn a_list_reads_back_without_what_nobody_knows() {
        let list = [Permission::SystemRead, Permission::PipelinesRead];

        assert_eq!(Permission::write_list(&list), "system:read pipelines:read");
        assert_eq!(Permission::parse_list("system:read brew:coffee pipelines:read"), list);
        assert_eq!(Permission::parse_list(&Permission::write_list(&[])), []);
    }

    #[test]
    fn no_role_of_a_project_gives_what_is_about_the_whole() {
        for role in Role::ALL.iter().filter(|role| role.is_of_a_project()) {
            assert!(role.permits().iter().all(|permission| !permission.is_of_the_whole()), "{role}");
        }
    }
}
