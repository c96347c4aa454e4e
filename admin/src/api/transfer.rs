//! Things as lines of JSON, and what such lines would change before they do.
//! Knows nothing of what stands in a line.

use actix_web::HttpResponse;
use actix_web::http::header;
use bytes::Bytes;
use futures_util::stream::try_unfold;
use pipecast_http::{Code, Fault, Problem};
use serde::{Deserialize, Serialize};
use utoipa::IntoParams;

use crate::exchange::{Action, Exported, MOST, Rehearsal, Step};

/// Whether an import is meant.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Meant {
    /// `true`: only what would be done is answered.
    #[serde(default)]
    dry_run: bool,
}

/// What an import does.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = ImportPlan)]
pub(super) struct Plan {
    /// Whether nothing of it was done.
    dry_run: bool,
    /// How many are made.
    create: usize,
    /// How many are changed.
    update: usize,
    /// How many stay as they are.
    keep: usize,
    /// How many are passed over.
    skip: usize,
    /// Each line.
    steps: Vec<Step>,
}

impl Meant {
    pub(super) fn rehearsal(&self) -> Rehearsal {
        if self.dry_run { Rehearsal::Dry } else { Rehearsal::Real }
    }
}

impl Plan {
    pub(super) fn new(meant: &Meant, steps: Vec<Step>) -> Plan {
        let count = |action| steps.iter().filter(|step| step.action == action).count();
        Plan {
            dry_run: meant.dry_run,
            create: count(Action::Create),
            update: count(Action::Update),
            keep: count(Action::Keep),
            skip: count(Action::Skip),
            steps,
        }
    }
}

/// Lines to be kept under this name. `page` reads those behind a place, or the first ones: the first page before it answers, each other one when
/// the client has taken the one before. Where one cannot be read then, the connection is cut, so that no client takes a part for the whole.
///
/// # Errors
/// Those of the first page.
pub(super) async fn exported<P, T, E>(name: &str, page: impl AsyncFn(Option<P>) -> Result<Exported<T, P>, E> + 'static) -> Result<HttpResponse, Problem>
where
    P: 'static,
    T: Serialize + 'static,
    Problem: From<E>,
{
    let first = page(None).await?;
    let pages = try_unfold((Some(first), None, page), |(first, place, page)| async move {
        let Exported { lines, next } = match (first, place) {
            (Some(first), _) => first,
            (None, Some(place)) => page(Some(place)).await?,
            (None, None) => return Ok(None),
        };
        Ok::<_, Problem>(Some((Bytes::from(ndjson(&lines)), (None, next, page))))
    });
    Ok(HttpResponse::Ok()
        .content_type("application/x-ndjson")
        .insert_header((header::CONTENT_DISPOSITION, format!("attachment; filename=\"{name}.ndjson\"")))
        .streaming(Box::pin(pages)))
}

/// The place of a line in a body, for a fault.
pub(super) fn place_of(number: usize) -> String {
    format!("/{}", number.saturating_sub(1))
}

/// That they are not too many for one transaction.
///
/// # Errors
/// `invalid`.
pub(super) fn check_count<T>(lines: &[T]) -> Result<(), Problem> {
    match lines.len() > MOST {
        true => Err(Problem::new(Code::Invalid).faults(vec![Fault::new(
            "",
            "too_many",
            format!("it has at most {MOST} lines; split it, as with `split -l {MOST}`"),
        )])),
        false => Ok(()),
    }
}

fn ndjson<T: Serialize>(lines: &[T]) -> String {
    let mut text = String::new();
    for line in lines {
        text.push_str(&serde_json::to_string(line).expect("a line is plain JSON"));
        text.push('\n');
    }
    text
}
