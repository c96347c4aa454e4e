//! docs/testing.md names tests, and each of them is there; and every backend of a port is put to the whole contract of it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Rows of the failure matrix.
const ROWS: usize = 18;

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The tests that a text names, as `path/to/file.rs::the_name` between backticks.
fn named(text: &str) -> Vec<(&str, &str)> {
    text.split('`')
        .skip(1)
        .step_by(2)
        .filter_map(|code| code.split_once("::"))
        .filter(|(path, _)| path.contains('/'))
        .collect()
}

/// What a file of tests has: functions with an attribute that makes them tests.
fn tests_in(text: &str) -> BTreeSet<&str> {
    let mut tests = BTreeSet::new();
    let mut is_test = false;
    for line in text.lines().map(str::trim) {
        if let Some(attribute) = line.strip_prefix("#[") {
            is_test |= attribute.starts_with("test") || attribute.starts_with("tokio::test") || attribute.starts_with("actix_web::test");
        } else if let Some(rest) = line.strip_prefix("async fn ").or_else(|| line.strip_prefix("fn ")) {
            if std::mem::take(&mut is_test) {
                tests.extend(rest.split('(').next());
            }
        } else {
            is_test = is_test && line.starts_with("//");
        }
    }
    tests
}

#[test]
fn every_test_that_the_documentation_names_is_there() {
    let page = read("docs/testing.md");
    let named = named(&page);
    assert!(named.len() > ROWS, "{named:?}");

    let missing: Vec<_> = named
        .into_iter()
        .filter(|(path, name)| match path.rsplit_once('.') {
            Some((_, "rs")) => !tests_in(&read(path)).contains(name),
            _ => !read(path).contains(&format!("'{name}'")),
        })
        .collect();

    assert!(missing.is_empty(), "docs/testing.md names what is not there: {missing:#?}");
}

#[test]
fn every_row_of_the_failure_matrix_has_a_test() {
    let page = read("docs/testing.md");
    let section = page
        .split("\n## ")
        .find(|section| section.starts_with("The failure matrix"))
        .expect("its section");
    let rows: Vec<_> = section.lines().filter(|line| line.starts_with('|')).skip(2).collect();

    assert_eq!(rows.len(), ROWS);
    for row in rows {
        assert!(!named(row).is_empty(), "without a test: {row}");
    }
}

#[test]
fn every_backend_is_put_to_the_whole_contract() {
    let folder = "crates/fabric/tests/contract";
    for (port, parts, subject, backends, instead) in [
        // A full broker does not refuse what the spool before it can take; what a full spool does is a test of its own.
        (
            "queue",
            &["queue", "queue/dead"][..],
            "dyn Queues)",
            &["main", "rabbitmq", "spool"][..],
            Some((
                "spool",
                "a_full_queue_refuses_and_stores_nothing",
                "a_full_spool_refuses_and_says_early_that_it_fills",
            )),
        ),
        ("bus", &["bus"], "dyn Bus)", &["main", "redis"], None),
        ("cache", &["cache"], "dyn Cache", &["main", "redis"], None),
    ] {
        let contract: String = parts.iter().map(|part| read(&format!("{folder}/{part}.rs"))).collect();
        // A promise takes what it is put to and nothing else, and returns nothing.
        let promises: Vec<_> = contract
            .lines()
            .filter(|line| line.contains(subject) && !line.contains("->"))
            .filter_map(|line| line.strip_prefix("pub(crate) async fn ")?.split('(').next())
            .collect();
        assert!(promises.len() >= 3, "{port}: {promises:?}");
        for backend in backends {
            let text = read(&format!("{folder}/{backend}.rs"));
            for promise in &promises {
                let other = instead
                    .filter(|(of, left_out, _)| of == backend && left_out == promise)
                    .map(|(_, _, other)| other);
                let is_kept = text.contains(&format!("{port}::{promise}(")) || text.lines().any(|line| line.trim() == *promise);
                assert!(
                    is_kept || other.is_some_and(|other| text.contains(other)),
                    "{backend} is not put to {port}::{promise}"
                );
            }
        }
    }
}

#[test]
fn the_reader_of_tests_tells_tests_from_others() {
    let text = "fn no() {}\n#[tokio::test]\n#[ignore]\nasync fn yes() {}\n// #[test]\nfn neither() {}\n#[test]\nstruct Not;\nfn nor() {}";

    assert_eq!(tests_in(text), BTreeSet::from(["yes"]));
}
