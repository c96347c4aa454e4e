//! Grants: what somebody may do and where, made of their roles and of the limits of what they came in with.
//! Knows nothing of where they stand written.

use std::collections::BTreeMap;

use pipecast_model::{Permission, ProjectId, Role};
use pipecast_store::{Bearer, Limits, Sight};

/// Some permissions, as bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Set(u32);

impl Set {
    const ALL: Set = Set(u32::MAX);
    const NONE: Set = Set(0);

    fn of(permissions: &[Permission]) -> Set {
        Set(permissions.iter().fold(0, |bits, permission| bits | 1 << *permission as u32))
    }

    fn has(self, permission: Permission) -> bool {
        self.0 & 1 << permission as u32 != 0
    }

    fn and(self, other: Set) -> Set {
        Set(self.0 & other.0)
    }
}

/// What somebody may do and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grants {
    role: Option<Role>,
    everywhere: Set,
    projects: BTreeMap<ProjectId, Set>,
    /// What the token allows at most; everything for a session.
    scopes: Set,
    /// The project of a token of one project.
    bound: Option<ProjectId>,
    /// Sees projects that are open to whoever is signed in.
    sees_internal: bool,
}

impl Grants {
    /// The rights of a bearer: their roles, and of those no more than what they came in with allows.
    pub fn of(bearer: &Bearer) -> Grants {
        let (scopes, bound) = match &bearer.limits {
            None => (Set::ALL, None),
            Some(Limits { scopes, project }) => (Set::of(&Permission::parse_list(scopes)), *project),
        };
        let given = |role: Role| Set::of(role.permits()).and(scopes);
        let everywhere = bearer.role.map_or(Set::NONE, given);
        let mut projects: BTreeMap<ProjectId, Set> = bearer.memberships.iter().map(|(project, role)| (*project, given(*role))).collect();
        // A token of one project has there what its user may there, and nothing anywhere else.
        if let Some(bound) = bound {
            let there = Set(projects.get(&bound).map_or(0, |set| set.0) | everywhere.0);
            let there = Set(there.0 & !whole().0);
            projects = BTreeMap::from([(bound, there)]);
        }
        // Whoever is signed in sees what is internal, unless all that they are anywhere is what reads nothing, as a runner is.
        let mut roles = bearer.role.iter().chain(bearer.memberships.iter().map(|(_, role)| role)).peekable();
        let may_read = roles.peek().is_none() || roles.any(|role| role.permits().contains(&Permission::PipelinesRead));
        Grants {
            role: bearer.role,
            everywhere: if bound.is_some() { Set::NONE } else { everywhere },
            projects,
            sees_internal: bound.is_none() && scopes.has(Permission::PipelinesRead) && may_read,
            scopes,
            bound,
        }
    }

    /// What they are everywhere, whatever they came in with.
    pub fn role(&self) -> Option<Role> {
        self.role
    }

    /// Whether they may do this everywhere.
    pub fn may(&self, permission: Permission) -> bool {
        self.everywhere.has(permission)
    }

    /// Whether they may do this in a project, apart from seeing what everybody sees.
    pub fn may_in(&self, permission: Permission, project: ProjectId) -> bool {
        self.may(permission) || self.projects.get(&project).is_some_and(|set| set.has(permission))
    }

    /// Whether they may do this anywhere at all.
    pub fn may_somewhere(&self, permission: Permission) -> bool {
        self.may(permission)
            || (!permission.is_of_the_whole() && self.projects.values().any(|set| set.has(permission)))
            || (permission == Permission::PipelinesRead && self.sees_internal)
    }

    /// The project that they are limited to, as by a token of one project.
    pub fn bound(&self) -> Option<ProjectId> {
        self.bound
    }

    /// Whether they see projects that are open to whoever is signed in.
    pub fn sees_internal(&self) -> bool {
        self.sees_internal
    }

    /// Where they may do this, as a condition for reading.
    pub fn sight(&self, permission: Permission) -> Sight {
        if self.may(permission) {
            return Sight::All;
        }
        Sight::Projects {
            of: self
                .projects
                .iter()
                .filter(|(_, set)| set.has(permission))
                .map(|(project, _)| *project)
                .collect(),
            internal: permission == Permission::PipelinesRead && self.sees_internal,
        }
    }

    /// Those of a role's permissions for which they cannot make anybody that, everywhere or in one project. Everywhere, because they do not have
    /// them there; in a project, because their token has not: whoever manages members in person gives every role that there is in a project.
    pub fn missing(&self, role: Role, project: Option<ProjectId>) -> Vec<Permission> {
        let has = |permission: Permission| match project {
            Some(_) => self.scopes.has(permission),
            None => self.may(permission),
        };
        role.permits().iter().copied().filter(|permission| !has(*permission)).collect()
    }

    /// Everything that they may do somewhere.
    pub fn permissions(&self) -> Vec<Permission> {
        Permission::ALL.iter().copied().filter(|permission| self.may_somewhere(*permission)).collect()
    }

    /// What they may do in single projects.
    pub fn projects(&self) -> impl Iterator<Item = (ProjectId, Vec<Permission>)> {
        let of = |set: Set| Permission::ALL.iter().copied().filter(|permission| set.has(*permission)).collect();
        self.projects.iter().map(move |(project, set)| (*project, of(*set)))
    }
}

fn whole() -> Set {
    Set(Permission::ALL
        .iter()
        .filter(|permission| permission.is_of_the_whole())
        .fold(0, |bits, permission| bits | 1 << *permission as u32))
}

#[cfg(test)]
mod tests {
    use pipecast_model::{Timestamp, UserId};

    use super::*;

    const ONE: ProjectId = ProjectId(1);
    const TWO: ProjectId = ProjectId(2);

    fn grants(role: Option<Role>, memberships: &[(ProjectId, Role)], limits: Option<(&str, Option<ProjectId>)>) -> Grants {
        Grants::of(&Bearer {
            user: UserId(1),
            name: "ada".into(),
            role,
            memberships: memberships.to_vec(),
            limits: limits.map(|(scopes, project)| Limits {
                scopes: scopes.to_owned(),
                project,
            }),
            expires_at: Timestamp(i64::MAX),
        })
    }

    #[test]
    fn a_role_of_one_project_ends_at_its_border() {
        let grants = grants(None, &[(ONE, Role::Maintainer)], None);

        assert!(grants.may_in(Permission::PipelinesWrite, ONE) && !grants.may_in(Permission::PipelinesWrite, TWO));
        assert!(!grants.may(Permission::PipelinesWrite) && grants.may_somewhere(Permission::PipelinesWrite));
        assert!(!grants.may_somewhere(Permission::UsersManage));
        assert_eq!(grants.sight(Permission::PipelinesRead), Sight::Projects { of: vec![ONE], internal: true });
    }

    #[test]
    fn a_role_everywhere_and_one_in_a_project_add_up() {
        let grants = grants(Some(Role::Viewer), &[(ONE, Role::Maintainer)], None);

        assert_eq!(grants.sight(Permission::PipelinesRead), Sight::All);
        assert!(grants.may_in(Permission::DeliveriesReplay, ONE) && !grants.may_in(Permission::DeliveriesReplay, TWO));
    }

    #[test]
    fn a_token_has_no_more_than_its_scopes_nor_than_its_user() {
        let admin = grants(Some(Role::Admin), &[], Some(("pipelines:read no:such", None)));
        let viewer = grants(Some(Role::Viewer), &[], Some(("pipelines:read users:manage", None)));

        assert_eq!(admin.permissions(), [Permission::PipelinesRead]);
        assert_eq!(viewer.permissions(), [Permission::PipelinesRead]);
    }

    #[test]
    fn a_token_of_a_project_is_of_no_use_elsewhere() {
        let grants = grants(Some(Role::Admin), &[(TWO, Role::Viewer)], Some(("pipelines:read users:manage", Some(ONE))));

        assert!(grants.may_in(Permission::PipelinesRead, ONE) && !grants.may_in(Permission::PipelinesRead, TWO));
        assert!(!grants.may_somewhere(Permission::UsersManage) && !grants.sees_internal());
        assert_eq!(grants.bound(), Some(ONE));
    }

    #[test]
    fn nobody_gives_a_role_that_permits_what_their_token_does_not() {
        let scoped = |role, scopes| grants(role, &[(ONE, Role::Maintainer)], Some((scopes, None)));
        let (admin, managing) = (grants(Some(Role::Admin), &[], None), scoped(Some(Role::Admin), "users:manage members:manage"));
        let maintainer = grants(None, &[(ONE, Role::Maintainer)], None);

        for role in Role::ALL {
            assert_eq!(admin.missing(*role, None), []);
            assert_ne!(managing.missing(*role, None), [], "{role}");
        }
        for role in Role::ALL.iter().filter(|role| role.is_of_a_project()) {
            assert_eq!(maintainer.missing(*role, Some(ONE)), [], "{role}");
            assert_ne!(managing.missing(*role, Some(ONE)), [], "{role}");
        }
        let reading = scoped(None, "members:manage pipelines:read");
        assert_eq!(reading.missing(Role::Wallboard, Some(ONE)), []);
        assert_eq!(reading.missing(Role::Viewer, Some(ONE)), [Permission::TokensManage, Permission::SystemRead]);
    }

    #[test]
    fn a_runner_reads_nothing() {
        let runner = grants(Some(Role::Runner), &[], None);

        assert_eq!(runner.permissions(), [Permission::IngestWrite]);
        assert_eq!(runner.sight(Permission::PipelinesRead), Sight::NOTHING);
    }

    #[test]
    fn what_is_internal_is_seen_by_whoever_is_signed_in_and_by_no_runner() {
        for role in [Role::Viewer, Role::Wallboard, Role::Maintainer] {
            assert!(grants(Some(role), &[], None).sees_internal(), "{role}");
            assert!(grants(None, &[(ONE, Role::Runner), (TWO, role)], None).sees_internal(), "{role}");
            assert!(grants(Some(Role::Runner), &[(ONE, role)], None).sees_internal(), "{role}");
        }
        assert!(grants(None, &[], None).sees_internal());
        for runner in [
            grants(None, &[(ONE, Role::Runner)], None),
            grants(Some(Role::Runner), &[(ONE, Role::Runner)], None),
        ] {
            assert_eq!(runner.sight(Permission::PipelinesRead), Sight::NOTHING);
            assert!(!runner.may_somewhere(Permission::PipelinesRead));
        }
        assert!(!grants(Some(Role::Viewer), &[], Some(("tokens:manage", None))).sees_internal());
    }
}
