//! Keyset pages: a limit, a cursor that names the last row seen, and the link to what follows.
//! Knows nothing of what is listed.

use std::fmt;

use actix_web::body::BoxBody;
use actix_web::http::header;
use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse, Responder};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use serde::de::{self, DeserializeOwned};
use serde::{Deserialize, Deserializer, Serialize};

use crate::input;

/// How many items a page holds: 1 to 200, 50 where nothing is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit(u8);

impl Limit {
    /// The largest page.
    pub const MOST: u8 = 200;

    /// How many rows to ask for: one more than the page holds tells whether another follows.
    pub fn rows(self) -> i64 {
        i64::from(self.0) + 1
    }
}

impl Default for Limit {
    fn default() -> Self {
        Limit(50)
    }
}

impl<'de> Deserialize<'de> for Limit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = u8::deserialize(deserializer).ok().filter(|number| (1..=Limit::MOST).contains(number));
        number.map(Limit).ok_or_else(|| de::Error::custom("`limit` is a number from 1 to 200"))
    }
}

/// Where a list goes on: the key of the last row seen, opaque to clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor<K>(pub K);

impl<K: Serialize> fmt::Display for Cursor<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = serde_json::to_vec(&self.0).map_err(|_| fmt::Error)?;
        f.write_str(&URL_SAFE_NO_PAD.encode(key))
    }
}

impl<'de, K: DeserializeOwned> Deserialize<'de> for Cursor<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        // No key of ours has a NUL character in it.
        let key = URL_SAFE_NO_PAD.decode(text.as_bytes()).ok().filter(|key| input::nul(key).is_none());
        let key = key.and_then(|key| serde_json::from_slice(&key).ok());
        key.map(Cursor)
            .ok_or_else(|| de::Error::custom("`cursor` is none of ours; hand back `next_cursor` as it came, to the same list"))
    }
}

/// One page of a list.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Page<T> {
    /// At most `limit` of them.
    pub items: Vec<T>,
    /// Hand it back as `cursor` to go on; null at the end.
    pub next_cursor: Option<String>,
}

impl<T> Page<T> {
    /// A page of `rows`, which were asked for with [`Limit::rows`]; `key` names a row.
    pub fn new<R, K: Serialize>(mut rows: Vec<R>, limit: Limit, key: impl Fn(&R) -> K, shape: impl FnMut(R) -> T) -> Page<T> {
        let size = usize::from(limit.0);
        let more = rows.len() > size;
        rows.truncate(size);
        let next_cursor = rows.last().filter(|_| more).map(|last| Cursor(key(last)).to_string());
        Page {
            items: rows.into_iter().map(shape).collect(),
            next_cursor,
        }
    }
}

impl<T> Page<T> {
    /// A page of something that is few, all there, and of which nothing ever goes, in its order: it goes on behind the row that the cursor
    /// names, and would be empty where that is gone.
    pub fn of_all<K: Serialize + PartialEq>(all: Vec<T>, after: Option<Cursor<K>>, limit: Limit, key: impl Fn(&T) -> K) -> Page<T> {
        let most = usize::from(limit.0) + 1;
        let rows: Vec<T> = match after {
            Some(Cursor(last)) => all.into_iter().skip_while(|row| key(row) != last).skip(1).take(most).collect(),
            None => all.into_iter().take(most).collect(),
        };
        Page::new(rows, limit, key, |row| row)
    }
}

impl<T: Serialize> Page<T> {
    /// The page as the answer to this request.
    pub fn render(&self, request: &HttpRequest) -> Rendered {
        let link = |cursor: &String| format!("<{}?{}>; rel=\"next\"", request.path(), next_query(request.query_string(), cursor));
        Rendered {
            body: serde_json::to_vec(self).expect("a page is plain JSON").into(),
            link: self.next_cursor.as_ref().map(link),
        }
    }
}

impl<T: Serialize> Responder for Page<T> {
    type Body = BoxBody;

    fn respond_to(self, request: &HttpRequest) -> HttpResponse {
        self.render(request).respond_to(request)
    }
}

/// A page as it goes out; the same for everybody who asks with the same words.
#[derive(Clone, Debug)]
pub struct Rendered {
    body: Bytes,
    link: Option<String>,
}

impl Responder for Rendered {
    type Body = BoxBody;

    fn respond_to(self, _: &HttpRequest) -> HttpResponse {
        let mut response = HttpResponse::Ok();
        response.content_type("application/json");
        response.insert_header((header::CACHE_CONTROL, "no-cache"));
        if let Some(link) = self.link {
            response.insert_header((header::LINK, link));
        }
        response.body(self.body)
    }
}

/// The query of the next page: the same filters with another cursor. Base64url needs no escaping.
fn next_query(query: &str, cursor: &str) -> String {
    let mut parts: Vec<_> = query.split('&').filter(|part| !part.is_empty() && !part.starts_with("cursor=")).collect();
    let cursor = format!("cursor={cursor}");
    parts.push(&cursor);
    parts.join("&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_back_as_its_key() {
        let text = Cursor((17_i64, 4_i64)).to_string();

        let back: Cursor<(i64, i64)> = serde_json::from_value(text.into()).expect("our own cursor");

        assert_eq!(back.0, (17, 4));
        assert!(serde_json::from_value::<Cursor<i64>>("nonsense".into()).is_err());
        assert!(serde_json::from_value::<Cursor<String>>(Cursor("a\0b").to_string().into()).is_err());
    }

    #[test]
    fn a_full_page_has_a_cursor_only_where_more_follows() {
        let limit = Limit(2);

        let full = Page::new(vec![1, 2, 3], limit, |row| *row, |row| row);
        let last = Page::new(vec![1, 2], limit, |row| *row, |row| row);

        assert_eq!((full.items, full.next_cursor), (vec![1, 2], Some(Cursor(2).to_string())));
        assert_eq!((last.items, last.next_cursor), (vec![1, 2], None));
    }

    #[test]
    fn the_next_link_keeps_the_filters() {
        assert_eq!(next_query("host=github&cursor=old&limit=2", "new"), "host=github&limit=2&cursor=new");
        assert_eq!(next_query("", "new"), "cursor=new");
    }
}
