//! Bodies of lines: one JSON value in each (NDJSON), so that a mistake names its line.
//! Knows nothing of what stands in them.

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};
use futures_util::future::LocalBoxFuture;
use serde::de::DeserializeOwned;

use crate::{Code, Problem, input};

/// The lines of a body as `T`s. Empty ones are passed over.
#[derive(Clone, Debug)]
pub struct Lines<T>(pub Vec<T>);

impl<T: DeserializeOwned + 'static> FromRequest for Lines<T> {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let body = input::read(request, payload, &["application/x-ndjson", "application/jsonl"]);
        Box::pin(async move { parse(&body.await?).map(Lines) })
    }
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<Vec<T>, Problem> {
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
                        .map(|()| value)
                        .map_err(|error| input::invalid(&format!("/{at}"), &error.to_string()))
                })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistake_names_its_line() {
        assert_eq!(parse::<i64>(b"1\n\n2\n").expect("two numbers"), [1, 2]);

        let problem = parse::<i64>(b"1\n\"x\"\n").expect_err("a text is no number");

        assert_eq!(problem.code(), Code::Invalid);
        assert_eq!(parse::<i64>(b"\xff").expect_err("no text").code(), Code::Malformed);
    }
}
