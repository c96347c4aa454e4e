//! Sparse answers: `fields=` names the members of the items of a list that are wanted.
//! Knows nothing of what is listed.

use serde::Serialize;
use serde_json::Value;

use crate::{Code, Fault, Page, Problem, Words};

/// The members that are wanted; empty is all.
pub type Fields = Words<String>;

/// A page with those members of its items alone.
///
/// # Errors
/// `invalid_query` for a member that the items do not have.
pub fn sparse<T: Serialize>(page: Page<T>, fields: &Fields) -> Result<Page<Value>, Problem> {
    let mut items = Vec::with_capacity(page.items.len());
    for item in page.items {
        let mut item = serde_json::to_value(item).expect("an item is plain JSON");
        if let (false, Value::Object(members)) = (fields.0.is_empty(), &mut item) {
            if let Some(unknown) = fields.0.iter().find(|field| !members.contains_key(*field)) {
                let detail = format!("`fields` names {unknown:?}, which is no member of an item");
                let fault = Fault::parameter("fields", "unfit", detail.clone());
                return Err(Problem::new(Code::InvalidQuery).detail(detail).faults(vec![fault]));
            }
            members.retain(|member, _| fields.0.contains(member));
        }
        items.push(item);
    }
    Ok(Page {
        items,
        next_cursor: page.next_cursor,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_is_named_is_answered_and_typos_are_refused() {
        let page = || Page {
            items: vec![json!({"id": 1, "name": "ada"})],
            next_cursor: None,
        };
        let fields = |words: &[&str]| Words(words.iter().map(|word| (*word).to_owned()).collect());

        assert_eq!(sparse(page(), &fields(&[])).expect("a page").items, [json!({"id": 1, "name": "ada"})]);
        assert_eq!(sparse(page(), &fields(&["id"])).expect("a page").items, [json!({"id": 1})]);
        assert!(sparse(page(), &fields(&["ids"])).is_err());
    }
}
