//! The house keeps its shape: who imports whom, and what every file owes its reader.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// What features may lean on, and what puts them together. Everything else in `src/` is a feature.
const GROUND: [&str; 5] = ["config", "drain", "server", "telemetry", "lib"];
const COMPOSITION: [&str; 4] = ["main", "roles", "routes", "openapi"];

#[test]
fn features_never_import_each_other() {
    let features: BTreeSet<String> = modules()
        .into_iter()
        .filter(|name| !GROUND.contains(&name.as_str()) && !COMPOSITION.contains(&name.as_str()))
        .collect();
    assert!(features.len() >= 8, "{features:?}");
    for (path, text) in sources("src") {
        let own = module_of(&path);
        if !features.contains(&own) {
            continue;
        }
        let foreign: Vec<_> = imports(&text).into_iter().filter(|name| *name != own && features.contains(name)).collect();
        assert!(
            foreign.is_empty(),
            "{} imports {foreign:?}; what two features need sinks to a crate below them",
            path.display()
        );
    }
}

#[test]
fn nobody_imports_the_composition() {
    for (path, text) in sources("src") {
        let own = module_of(&path);
        let allowed: &[&str] = match own.as_str() {
            "main" => &["openapi", "roles"],
            "roles" => &["routes", "openapi"],
            "openapi" => &["routes"],
            _ => &[],
        };
        let wrong: Vec<_> = imports(&text)
            .into_iter()
            .filter(|name| COMPOSITION.contains(&name.as_str()) && !allowed.contains(&name.as_str()))
            .collect();
        assert!(wrong.is_empty(), "{} imports {wrong:?}", path.display());
    }
}

#[test]
fn only_the_composition_root_and_the_document_name_the_admin() {
    for (path, text) in sources("src") {
        assert!(
            !text.contains("pipecast_admin") || ["roles", "openapi"].contains(&module_of(&path).as_str()),
            "{} names pipecast_admin",
            path.display()
        );
    }
}

#[test]
fn only_the_composition_root_has_what_writes_the_database() {
    let writes = ["Writer", "Tx", "pipecast_store::open", "pipecast_store::connect"];
    for (path, text) in sources("src") {
        if module_of(&path) == "roles" {
            continue;
        }
        let text = before_tests(&text);
        let found: Vec<_> = writes.iter().filter(|name| names(text, name)).collect();
        assert!(found.is_empty(), "{} names {found:?}; the admin alone writes", path.display());
    }
}

#[test]
fn sql_is_written_in_the_store_and_in_the_embedded_queue_alone() {
    let rooms = [Path::new("crates/store/src"), Path::new("crates/fabric/src/queue/embedded")];
    let mut found = 0;
    for (path, text) in ["src", "admin/src", "crates"].into_iter().flat_map(sources) {
        // Tests look into databases from outside.
        if path
            .components()
            .any(|part| ["tests", "examples", "benches"].iter().any(|name| part.as_os_str() == *name))
        {
            continue;
        }
        let text = before_tests(&text);
        let has_sql = ["sqlx::query", "sqlx::raw_sql", "QueryBuilder"].iter().any(|word| text.contains(word));
        if rooms.iter().any(|room| path.starts_with(room)) {
            found += usize::from(has_sql);
        } else {
            assert!(!has_sql, "{} has SQL; it belongs beside its table in the store", path.display());
        }
    }
    assert!(found > 20, "{found}");
}

#[test]
fn every_file_says_what_it_is_and_none_is_a_house_of_its_own() {
    let roots = [
        "src",
        "admin/src",
        "crates/model/src",
        "crates/store/src",
        "crates/fabric/src",
        "crates/watch/src",
        "crates/auth/src",
        "crates/http/src",
        "tests/it",
    ];
    let mut wrong = Vec::new();
    for (path, text) in roots.into_iter().flat_map(sources) {
        let lines = text.lines().count();
        if !text.starts_with("//! ") {
            wrong.push(format!("{} does not open with //!", path.display()));
        }
        if lines > 400 {
            wrong.push(format!("{} has {lines} lines; which noun hides in it?", path.display()));
        }
        if path.file_name().is_some_and(|name| name == "mod.rs") {
            wrong.push(format!("{}: write foo.rs beside foo/", path.display()));
        }
        if ["utils", "util", "helpers", "common", "misc"]
            .iter()
            .any(|name| path.file_stem().is_some_and(|stem| stem == *name))
        {
            wrong.push(format!("{} has no noun", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Without the limit of 128 levels a body of brackets overflows the stack, which ends the process.
#[test]
fn no_json_is_read_without_a_limit_of_its_depth() {
    for (path, text) in ["src", "admin/src", "crates", "tests/prove/src"].into_iter().flat_map(sources) {
        assert!(!text.contains("disable_recursion_limit"), "{}", path.display());
    }
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    assert!(!manifest.contains("unbounded_depth"), "the feature of serde_json that allows it");
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every Rust file below `folder`, relative to the project, with its text.
pub fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    let mut files = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                files.push((path.strip_prefix(root()).unwrap().to_owned(), text));
            }
        }
    }
    files
}

/// The modules of `src/`.
fn modules() -> BTreeSet<String> {
    sources("src").iter().map(|(path, _)| module_of(path)).collect()
}

/// `webhooks` for `src/webhooks.rs` and everything in `src/webhooks/`.
fn module_of(path: &Path) -> String {
    let first = path.components().nth(1).unwrap().as_os_str().to_string_lossy().into_owned();
    first.trim_end_matches(".rs").to_owned()
}

/// What a text takes from the root of its crate: `crate::a::…` and `crate::{a, b::…}`, and the binary's `pipecast::a`.
fn imports(text: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for prefix in ["crate::", "pipecast::"] {
        for (at, _) in text.match_indices(prefix) {
            if text[..at].ends_with(|before: char| before.is_alphanumeric() || before == '_') {
                continue;
            }
            let rest = &text[at + prefix.len()..];
            match rest.strip_prefix('{') {
                Some(list) => names.extend(top_level_names(list)),
                None => names.extend(name_at(rest)),
            }
        }
    }
    names
}

/// A file without the tests at its end.
fn before_tests(text: &str) -> &str {
    text.split("#[cfg(test)]").next().unwrap()
}

/// Whether a text has this name, not as a part of another one.
fn names(text: &str, name: &str) -> bool {
    let is_of_name = |letter: char| letter.is_alphanumeric() || letter == '_';
    text.match_indices(name)
        .any(|(at, _)| !text[..at].ends_with(is_of_name) && !text[at + name.len()..].starts_with(is_of_name))
}

fn top_level_names(list: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut depth = 0;
    let mut fresh = true;
    for (at, letter) in list.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => fresh = true,
            letter if fresh && !letter.is_whitespace() => {
                names.extend(name_at(&list[at..]));
                fresh = false;
            }
            _ => {}
        }
    }
    names
}

fn name_at(text: &str) -> Option<String> {
    let name: String = text.chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect();
    Some(name).filter(|name| name.starts_with(|first: char| first.is_lowercase()))
}

#[test]
fn the_reader_of_imports_sees_through_lists() {
    let text = "use crate::{docs, webhooks::{self, Receiver}, Top};\nfn f() { crate::live::configure() } // mycrate::no";

    assert_eq!(imports(text), BTreeSet::from(["docs", "webhooks", "live"].map(str::to_owned)));
}
