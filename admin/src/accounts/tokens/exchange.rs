//! Tokens as lines of text that can be brought to another installation, where new ones are made like them: what is secret in a token is nowhere.
//! Knows nothing of requests.

use std::collections::HashMap;
use std::time::Duration;

use pipecast_auth::{Bearing, Grants, Minted};
use pipecast_model::name::trimmed;
use pipecast_model::{Permission, ProjectId, ProjectPlace, Timestamp, TokenId, UserId};
use pipecast_store::audit::{By, Entry};
use pipecast_store::{ApiToken, TokenQuery, Tx};
use serde::{Deserialize, Serialize};

use super::{Wanted, check, make, told};
use crate::accounts::{Accounts, Error};
use crate::exchange::{Action, Exported, PAGE, Rehearsal, Step};

/// The longest that a token is good.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

/// A token in one line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = TokenLine)]
pub struct Line {
    /// Whose it is. An import makes tokens for whoever asks alone, and passes over others'.
    #[serde(deserialize_with = "trimmed")]
    #[schema(example = "ada")]
    pub user_name: String,
    /// What it is for.
    #[serde(deserialize_with = "trimmed")]
    #[schema(example = "deploy")]
    pub name: String,
    /// What it may.
    pub scopes: Vec<Permission>,
    /// Only in this project; null: wherever its user may.
    #[serde(default)]
    pub project: Option<ProjectPlace>,
    /// When it ends by itself. One that has ended is passed over.
    pub expires_at: Timestamp,
}

/// A token that an import has made, with what is secret in it, which is shown this once.
pub struct Issued {
    /// For which line of what was sent, from 1.
    pub line: usize,
    /// The token.
    pub token: ApiToken,
    /// The secret.
    pub minted: Minted,
}

impl Accounts {
    /// A page of the tokens that were not ended, of one user or of everybody, limited to one project or not, the newest first.
    ///
    /// # Errors
    /// `Store`.
    pub async fn export_tokens(&self, of: Option<UserId>, within: Option<ProjectId>, after: Option<TokenId>) -> Result<Exported<Line, TokenId>, Error> {
        let mut places = HashMap::new();
        let Exported { lines: tokens, next } = self.page_of_tokens(of, within, after).await?;
        let mut lines = Vec::with_capacity(tokens.len());
        for token in tokens {
            let project = match token.project_id {
                Some(id) => self.place_of(id, &mut places).await?,
                None => None,
            };
            lines.push(Line {
                scopes: Permission::parse_list(&token.scopes),
                user_name: token.user_name,
                name: token.name,
                project,
                expires_at: token.expires_at,
            });
        }
        Ok(Exported { lines, next })
    }

    /// Makes tokens like these lines for whoever asks, in one transaction, none of which may more than they; one that they have already, and that is good, stays. A
    /// project that they do not see is none for them. With `Rehearsal::Dry` nothing is done.
    ///
    /// # Errors
    /// `Beyond`, `Store`.
    pub async fn import_tokens(&self, asking: &Bearing, lines: &[(usize, Line)], rehearsal: Rehearsal, by: &By) -> Result<(Vec<Step>, Vec<Issued>), Error> {
        let (user, grants) = (asking.user, &asking.grants);
        let own_name = self.reader.find_user(user).await?.ok_or(Error::Gone)?.name;
        let mut there = self.all_tokens(Some(user)).await?;
        // One that has ended is listed until it is purged, and nobody comes in with it.
        there.retain(|token| token.expires_at > Timestamp::now());
        let mut tx = self.writer.begin().await?;
        let (mut steps, mut issued) = (Vec::with_capacity(lines.len()), Vec::new());
        for (number, line) in lines {
            let project = match &line.project {
                Some(place) => {
                    let there = self.reader.find_project_at(place).await?;
                    there.filter(|project| self.gatekeeper.sees_project(asking, *project))
                }
                None => None,
            };
            let left = Duration::from_micros(u64::try_from(line.expires_at.0 - Timestamp::now().0).unwrap_or(0));
            let is_like =
                |token: &ApiToken| token.name == line.name && token.project_id == project && same(&Permission::parse_list(&token.scopes), &line.scopes);
            let is_nobodys = line.user_name.to_lowercase() != own_name.to_lowercase() || line.project.is_some() != project.is_some() || left.is_zero();
            let action = match (is_nobodys, there.iter().any(is_like)) {
                (true, _) => Action::Skip,
                (false, true) => Action::Keep,
                (false, false) => Action::Create,
            };
            if action == Action::Create {
                let made = create(&mut tx, user, grants, line, project, left.min(LONGEST), by).await?;
                there.push(made.0.clone());
                issued.push(Issued {
                    line: *number,
                    token: made.0,
                    minted: made.1,
                });
            }
            steps.push(Step {
                line: *number,
                thing: format!("{} {}", line.user_name, line.name),
                action,
                changes: Vec::new(),
                needs: None,
            });
        }
        match rehearsal {
            Rehearsal::Real => tx.commit().await?,
            Rehearsal::Dry => issued.clear(),
        }
        Ok((steps, issued))
    }

    async fn all_tokens(&self, of: Option<UserId>) -> Result<Vec<ApiToken>, Error> {
        let mut tokens = Vec::new();
        let mut after = None;
        loop {
            let page = self.page_of_tokens(of, None, after).await?;
            tokens.extend(page.lines);
            after = page.next;
            if after.is_none() {
                return Ok(tokens);
            }
        }
    }

    async fn page_of_tokens(&self, of: Option<UserId>, within: Option<ProjectId>, after: Option<TokenId>) -> Result<Exported<ApiToken, TokenId>, Error> {
        let query = TokenQuery {
            user: of,
            within,
            after,
            limit: PAGE,
            ..TokenQuery::default()
        };
        let tokens = self.reader.list_tokens(&query).await?;
        Ok(Exported::of(tokens, |token| token.id, |token| token))
    }

    async fn place_of(&self, id: ProjectId, known: &mut HashMap<ProjectId, Option<ProjectPlace>>) -> Result<Option<ProjectPlace>, Error> {
        if let Some(place) = known.get(&id) {
            return Ok(place.clone());
        }
        let place = self.reader.find_place_of_project(id).await?;
        known.insert(id, place.clone());
        Ok(place)
    }
}

async fn create(
    tx: &mut Tx,
    user: UserId,
    grants: &Grants,
    line: &Line,
    project: Option<ProjectId>,
    lifetime: Duration,
    by: &By,
) -> Result<(ApiToken, Minted), Error> {
    let wanted = Wanted {
        name: line.name.clone(),
        scopes: line.scopes.clone(),
        project,
        lifetime,
    };
    check(grants, &wanted)?;
    let made = make(tx, user, &wanted).await?;
    tx.audit(Entry::new(by.clone(), "token.import").on("token", made.0.id, &made.0.name).after(told(&made.0)));
    Ok(made)
}

fn same(some: &[Permission], others: &[Permission]) -> bool {
    some.len() == others.len() && some.iter().all(|one| others.contains(one))
}
