//! Bodies of lines: one JSON value in each (NDJSON), so that a mistake names its line.
//! Knows nothing of what stands in them.

use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};
use futures_util::future::LocalBoxFuture;
use serde::de::DeserializeOwned;

use crate::input::{self, Bounds};
use crate::{Code, Problem};

/// Those of a body of lines: 5,000 of them, each with every field as long as it may be, take less. The proxy in front has to let as much through.
const LARGE: Bounds = Bounds {
    most: 8 * 1024 * 1024,
    deadline: Duration::from_secs(60),
};

/// The lines of a body as `T`s, each with its number in the body, from 1. Empty ones are passed over, and counted.
#[derive(Clone, Debug)]
pub struct Lines<T>(pub Vec<(usize, T)>);

impl<T: DeserializeOwned + 'static> FromRequest for Lines<T> {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let body = input::read(request, payload, &["application/x-ndjson", "application/jsonl"], &LARGE);
        Box::pin(async move { parse(&body.await?).map(Lines) })
    }
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<Vec<(usize, T)>, Problem> {
    let text = std::str::from_utf8(body).map_err(|_| Problem::new(Code::Malformed).detail("the body is no text in UTF-8"))?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines
        .map(|(at, line)| {
            let mut reading = serde_json::Deserializer::from_str(line);
            let read = serde_path_to_error::deserialize(&mut reading);
            read.map_err(|error| input::invalid(&format!("/{at}{}", input::pointer(error.path())), &error.inner().to_string()))
                .and_then(|value| {
                    reading
                        .end()
                        .map(|()| (at + 1, value))
                        .map_err(|error| input::invalid(&format!("/{at}"), &error.to_string()))
                })
                .and_then(|parsed| match input::nul(line.as_bytes()) {
                    Some(below) => Err(input::has_nul(&format!("/{at}{below}"))),
                    None => Ok(parsed),
                })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistake_names_its_line() {
        assert_eq!(parse::<i64>(b"1\n\n2\n").expect("two numbers"), [(1, 1), (3, 2)]);

        let problem = parse::<i64>(b"1\n\n\"x\"\n").expect_err("a text is no number");

        let fault = serde_json::to_value(&problem.errors()[0]).expect("plain JSON");
        assert_eq!((problem.code(), &fault["pointer"]), (Code::Invalid, &"#/2".into()));
        assert_eq!(parse::<i64>(b"\xff").expect_err("no text").code(), Code::Malformed);
    }

    #[test]
    fn a_nul_character_names_its_line() {
        let problem = parse::<Vec<String>>(b"[\"a\"]\n[\"b\", \"\\u0000\"]\n").expect_err("a NUL");

        let fault = serde_json::to_value(&problem.errors()[0]).expect("plain JSON");
        assert_eq!((&fault["pointer"], &fault["code"]), (&"#/1/1".into(), &"nul".into()));
    }
}
