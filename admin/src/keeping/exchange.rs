//! What operators say of projects, as lines of text that can be brought to another installation. What deliveries tell is not in them.
//! Knows nothing of requests.

use pipecast_model::{ProjectId, ProjectPlace, Visibility};
use pipecast_store::audit::By;
use pipecast_store::{KeptProject, KeptProjectQuery, ProjectChange, Sight};
use serde::{Deserialize, Serialize};

use super::{Error, Keeping, archived_at, change_in};
use crate::exchange::{Action, Exported, PAGE, Rehearsal, Step, different};

/// A project in one line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ProjectLine)]
pub struct Line {
    /// Where it lives, by which it is known again.
    pub place: ProjectPlace,
    /// Its full name at the host, for whoever reads it; an import passes this over.
    #[serde(default)]
    #[schema(example = "acme/rocket")]
    pub name: Option<String>,
    /// Who sees it without being its member.
    pub visibility: Visibility,
    /// Whether it is archived.
    #[serde(default)]
    pub archived: bool,
}

impl From<KeptProject> for Line {
    fn from(project: KeptProject) -> Self {
        Line {
            place: ProjectPlace {
                host: project.host,
                source: project.source_key,
                external_id: project.external_id,
            },
            name: Some(project.name),
            visibility: project.visibility,
            archived: project.archived_at.is_some(),
        }
    }
}

impl Line {
    /// Which members of a project it would change.
    fn changes(&self, project: &KeptProject) -> Vec<&'static str> {
        different([
            ("visibility", project.visibility != self.visibility),
            ("archived", project.archived_at.is_some() != self.archived),
        ])
    }
}

impl Keeping {
    /// A page of all projects, by id.
    ///
    /// # Errors
    /// `Store`.
    pub async fn export_projects(&self, after: Option<ProjectId>) -> Result<Exported<Line, ProjectId>, Error> {
        let query = KeptProjectQuery {
            after: after.map(|id| (String::new(), id.0)),
            limit: PAGE,
            ..KeptProjectQuery::default()
        };
        let projects = self.reader.list_kept_projects(&query).await?;
        Ok(Exported::of(projects, |project| project.id, Line::from))
    }

    /// Changes projects to what these lines say, in one transaction, and says what that is. One of which nothing has been delivered here yet is passed
    /// over. With `Rehearsal::Dry` nothing is done.
    ///
    /// # Errors
    /// `Overtaken`, `Store`.
    pub async fn import_projects(&self, lines: &[(usize, Line)], rehearsal: Rehearsal, by: &By) -> Result<Vec<Step>, Error> {
        let mut steps = Vec::with_capacity(lines.len());
        let mut there = Vec::with_capacity(lines.len());
        for (_, line) in lines {
            let project = match self.reader.find_project_at(&line.place).await? {
                Some(id) => self.reader.find_kept_project(id, &Sight::All).await?,
                None => None,
            };
            there.push(project);
        }
        let mut tx = self.writer.begin().await?;
        for ((number, line), project) in lines.iter().zip(&there) {
            let changes = project.as_ref().map(|project| line.changes(project)).unwrap_or_default();
            let action = match project {
                None => Action::Skip,
                Some(_) if changes.is_empty() => Action::Keep,
                Some(project) => {
                    let change = ProjectChange {
                        visibility: line.visibility,
                        archived_at: archived_at(project.archived_at, line.archived),
                    };
                    if !change_in(&mut tx, project, &change, by.clone(), "project.import").await? {
                        return Err(Error::Overtaken);
                    }
                    Action::Update
                }
            };
            let named = |project: &KeptProject| format!("{} {}", project.host, project.name);
            let unknown = || format!("{} {}", line.place.host, line.name.as_deref().unwrap_or(&line.place.external_id));
            steps.push(Step {
                line: *number,
                thing: project.as_ref().map_or_else(unknown, named),
                action,
                changes,
                needs: None,
            });
        }
        if rehearsal == Rehearsal::Real {
            tx.commit().await?;
        }
        Ok(steps)
    }
}
