//! Notification targets as they are shown, and as somebody wants them: checked, with where they are reached apart.
//! Knows nothing of requests.

use std::collections::BTreeSet;

use actix_web::http::Uri;
use pipecast_http::{Faults, Field, Problem, Site};
use pipecast_model::name::trimmed;
use pipecast_model::{ProjectId, Status, Timestamp};
use pipecast_store::{NotificationTarget, TargetFields};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::recipients;
use crate::targets::{Destination, EMAIL, Reach, Shown};

/// Characters of a name.
const LONGEST_NAME: usize = 100;
/// Bytes of an address.
const LONGEST_URL: usize = 2_048;

/// By which way a target is told.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum TargetKind {
    /// A POST of JSON to a URL.
    Webhook,
    /// A channel of Slack.
    Slack,
    /// A mailbox.
    Email,
}

impl TargetKind {
    pub(super) fn word(self) -> &'static str {
        match self {
            TargetKind::Webhook => "webhook",
            TargetKind::Slack => "slack",
            TargetKind::Email => EMAIL,
        }
    }
}

/// Whom to tell of what.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = NotificationTarget, example = json!({
    "id": 1, "name": "ops", "kind": "email", "project_id": null, "statuses": ["failure", "error"], "enabled": true, "url_host": null,
    "recipients": ["ada@example.org", "bob@example.org"], "created_at": "2026-11-21T10:00:00Z", "updated_at": "2026-11-21T10:00:00Z",
}))]
pub(super) struct Shape {
    id: i64,
    name: String,
    /// `webhook`, `slack`, `email`.
    kind: String,
    /// Of which project; null: of all.
    project_id: Option<ProjectId>,
    /// Of which statuses.
    statuses: Vec<String>,
    /// Whether it is told at all.
    enabled: bool,
    /// At which host it is reached, of all that was said in `url`.
    url_host: Option<String>,
    /// Who gets mail, of an `email`; empty: nobody is known. Null for other kinds, and where it cannot be read because its key is gone.
    recipients: Option<Vec<String>>,
    created_at: Timestamp,
    updated_at: Timestamp,
}

impl From<Shown> for Shape {
    fn from(Shown { target, recipients }: Shown) -> Self {
        let NotificationTarget {
            id,
            fields,
            url_host,
            created_at,
            updated_at,
            ..
        } = target;
        Shape {
            id,
            name: fields.name,
            kind: fields.kind,
            project_id: fields.project_id,
            statuses: fields.statuses.split_whitespace().map(str::to_owned).collect(),
            enabled: fields.enabled,
            url_host,
            recipients,
            created_at,
            updated_at,
        }
    }
}

/// A target to be.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"name": "ops", "kind": "email", "statuses": ["failure", "error"], "recipients": ["ada@example.org", "bob@example.org"]}))]
pub(super) struct NewTarget {
    #[serde(deserialize_with = "trimmed")]
    #[schema(max_length = 100)]
    name: String,
    #[schema(inline)]
    kind: TargetKind,
    project_id: Option<ProjectId>,
    /// At least one.
    statuses: BTreeSet<Status>,
    #[serde(default = "yes")]
    enabled: bool,
    /// Where it is reached: `https`, or `http` where `server.plain_http` allows that. It is kept sealed and never shown again, only its host. For `webhook`
    /// and `slack`.
    #[schema(write_only, max_length = 2048, example = "https://hooks.slack.com/services/T0/B0/x")]
    url: Option<String>,
    /// Who gets mail: addresses like `ada@example.org`, 50 at most, each once. They are kept sealed. For `email`.
    #[schema(max_items = 50)]
    recipients: Option<Vec<String>>,
}

fn yes() -> bool {
    true
}

/// What is to be different.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"statuses": ["failure"], "url": "https://hooks.slack.com/services/T0/B0/x"}))]
pub(super) struct TargetChange {
    #[serde(default, deserialize_with = "trimmed")]
    #[schema(value_type = Option<String>)]
    name: Field<String>,
    #[serde(default)]
    #[schema(value_type = Option<i64>)]
    project_id: Field<ProjectId>,
    #[serde(default)]
    #[schema(value_type = Option<Vec<Status>>)]
    statuses: Field<BTreeSet<Status>>,
    #[serde(default)]
    #[schema(value_type = Option<bool>)]
    enabled: Field<bool>,
    /// Where it is reached from now on, as for a new one; null: nowhere that is known.
    #[serde(default)]
    #[schema(value_type = Option<String>, write_only, max_length = 2048, example = "https://hooks.slack.com/services/T0/B0/x")]
    url: Field<String>,
    /// Who gets mail from now on, as for a new one; null: nobody.
    #[serde(default)]
    #[schema(value_type = Option<Vec<String>>, max_items = 50)]
    recipients: Field<Vec<String>>,
}

impl NewTarget {
    /// What it is to be, where it can be.
    pub(super) fn checked(self, site: &Site) -> Result<(TargetFields, Reach), Problem> {
        let fields = TargetFields {
            name: self.name,
            kind: self.kind.word().to_owned(),
            project_id: self.project_id,
            statuses: words(&self.statuses),
            enabled: self.enabled,
        };
        let mut faults = Faults::default();
        check(&mut faults, &fields);
        let to = self.url.map(|url| reached(&mut faults, &fields.kind, url, site));
        let mail = self.recipients.map(|addresses| mailed(&mut faults, &fields.kind, addresses));
        let reach = to.or(mail).unwrap_or(Reach::Nowhere);
        faults.end()?;
        Ok((fields, reach))
    }
}

impl TargetChange {
    /// What it makes of a target, where it can be.
    pub(super) fn of(self, mut fields: TargetFields, site: &Site) -> Result<(TargetFields, Reach), Problem> {
        let mut faults = Faults::default();
        self.name.apply_to(&mut fields.name, "/name", &mut faults);
        self.enabled.apply_to(&mut fields.enabled, "/enabled", &mut faults);
        self.project_id.apply(&mut fields.project_id);
        match self.statuses {
            Field::Kept => {}
            Field::Cleared => {
                faults.note(true, "/statuses", "missing", "it has to be there");
            }
            Field::Set(statuses) => fields.statuses = words(&statuses),
        }
        check(&mut faults, &fields);
        let is_mail = fields.kind == EMAIL;
        let to = match self.url {
            Field::Set(url) => reached(&mut faults, &fields.kind, url, site),
            Field::Cleared if !is_mail => Reach::Nowhere,
            Field::Cleared | Field::Kept => Reach::AsBefore,
        };
        let mail = match self.recipients {
            Field::Set(addresses) => mailed(&mut faults, &fields.kind, addresses),
            Field::Cleared if is_mail => Reach::Nowhere,
            Field::Cleared | Field::Kept => Reach::AsBefore,
        };
        faults.end()?;
        let reach = if is_mail { mail } else { to };
        Ok((fields, reach))
    }
}

fn words(statuses: &BTreeSet<Status>) -> String {
    statuses.iter().map(|status| status.word()).collect::<Vec<_>>().join(" ")
}

fn check(faults: &mut Faults, fields: &TargetFields) {
    faults.text("/name", &fields.name, LONGEST_NAME);
    faults.note(fields.statuses.is_empty(), "/statuses", "empty", "name at least one status");
}

/// An address that somebody says. What is wrong with it is said without it.
fn reached(faults: &mut Faults, kind: &str, url: String, site: &Site) -> Reach {
    let url = Zeroizing::new(url);
    let parsed: Option<Uri> = url.parse().ok();
    let parsed = parsed.as_ref();
    let host = parsed.and_then(Uri::host).filter(|host| !host.is_empty());
    let is_fit = match parsed.and_then(Uri::scheme_str) {
        Some("https") => true,
        Some("http") => site.plain_http,
        _ => false,
    };
    faults.note(kind == EMAIL, "/url", "unfit", "a mailbox is reached by no address of the web");
    faults.note(url.len() > LONGEST_URL, "/url", "too_long", format!("it has at most {LONGEST_URL} bytes"));
    match host.filter(|_| is_fit) {
        Some(host) => Reach::At(Destination {
            host: host.to_owned(),
            url: url.clone(),
        }),
        None => {
            faults.note(true, "/url", "unfit", "it begins with https:// and the name of a host");
            Reach::Nowhere
        }
    }
}

/// Who somebody says gets mail.
fn mailed(faults: &mut Faults, kind: &str, addresses: Vec<String>) -> Reach {
    faults.note(kind != EMAIL, "/recipients", "unfit", "only an `email` goes to mailboxes");
    Reach::Mail(recipients::checked(faults, addresses))
}
