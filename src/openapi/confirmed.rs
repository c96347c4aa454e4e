//! Operations that want a fresh proof of who asks: what gives or shows a key, a role or a secret, or makes somebody easier to be taken for. What only takes
//! access away is not among them, so that nobody is held up who has to act at once.
//! Knows nothing of how it is proved. The handlers say the same by taking a `Confirmed`; `tests/it` holds one against the other.

use serde_json::json;
use utoipa::openapi::RefOr;
use utoipa::openapi::path::Operation;

/// All of them, by what they give.
const CONFIRMED: [&str; 16] = [
    // A role, everywhere or in a project.
    "add_member",
    "change_member",
    "change_user",
    "change_users",
    "create_user",
    "import_users",
    "restore_user",
    // What somebody else comes in with.
    "drop_factor",
    "set_password",
    // A token of a program.
    "create_token",
    "import_tokens",
    "rotate_token",
    // The secret of a source.
    "create_source",
    "rotate_secret",
    // An address that is a secret itself, or leads where others are sent to.
    "change_notification_target",
    "create_notification_target",
];

/// How the document marks them.
const MARK: &str = "x-confirmation";

const MEANING: &str = "Not allowed, or `confirmation_required`: the login is longer ago than `auth.confirmed_for`; `POST /admin/v1/me/confirmation` first. Programs \
    with a token are not asked";

/// Says of an operation that it wants the proof, if it does.
pub(super) fn say_so(operation: &mut Operation, id: &str) {
    if !CONFIRMED.contains(&id) {
        return;
    }
    operation.extensions = Some([(MARK, json!(true))].into_iter().collect());
    if let Some(RefOr::T(refusal)) = operation.responses.responses.get_mut("403") {
        refusal.description = MEANING.to_owned();
    }
}
