//! What a run of tests leaves behind for `prove leaks` to look through, where `PIPECAST_TEST_TRACES` names a folder: the logs of processes,
//! what operators are answered, and the secrets that must stand in neither. Without it nothing is kept.
//! Knows nothing of single tests: secrets are taken out of the requests and answers in which they are shown on purpose.

use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{LazyLock, Mutex};

use serde_json::Value;

/// Stands in every secret that tests make up, so that one is found that nobody has written down.
pub const MARK: &str = "pl4nted";

/// Shorter texts stand everywhere.
const SHORTEST: usize = 12;

/// Answers that operators see, by the beginnings of their paths; and every refusal.
const VIEWS: [&str; 9] = [
    "/metrics",
    "/health",
    "/admin/v1/audit",
    "/admin/v1/deliveries",
    "/admin/v1/dead-letters",
    "/admin/v1/sources",
    "/admin/v1/tokens",
    "/admin/v1/notification-targets",
    "/admin/v1/settings",
];

static FOLDER: LazyLock<Option<PathBuf>> = LazyLock::new(|| {
    let folder = PathBuf::from(std::env::var_os("PIPECAST_TEST_TRACES")?);
    for part in ["logs", "views", "secrets"] {
        std::fs::create_dir_all(folder.join(part)).unwrap();
    }
    Some(folder)
});

static SECRETS: LazyLock<Mutex<HashSet<(String, String)>>> = LazyLock::new(Mutex::default);

/// A file of this process for lines that are added.
fn file(part: &str, name: &str) -> Option<File> {
    let path = FOLDER.as_ref()?.join(part).join(format!("{name}-{}.txt", std::process::id()));
    Some(OpenOptions::new().create(true).append(true).open(path).unwrap())
}

/// A file for the log of a process that is started now.
pub fn log_of(name: &str) -> Option<File> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    file("logs", &format!("{name}-{}", NEXT.fetch_add(1, Ordering::Relaxed)))
}

/// Writes down a secret of this kind, to be looked for in the end.
pub fn plant(kind: &str, secret: &str) {
    if secret.len() < SHORTEST || FOLDER.is_none() {
        return;
    }
    if SECRETS.lock().unwrap().insert((kind.to_owned(), secret.to_owned()))
        && let Some(mut file) = file("secrets", "planted")
    {
        writeln!(file, "{kind}\t{secret}").unwrap();
    }
}

/// The keys of a service, in the form in which they lie in its file.
pub fn plant_keys(file: &std::path::Path) {
    for key in std::fs::read_to_string(file).unwrap_or_default().lines() {
        plant("sealing key", key.trim());
    }
}

/// Takes the secrets out of a request and its answer, and keeps what an operator sees.
pub fn look_at(method: &str, path: &str, headers: &[(String, String)], body: &[u8], status: u16, answer: &[u8], cookies: &[&str]) {
    if FOLDER.is_none() {
        return;
    }
    let path = path.split('?').next().unwrap_or(path);
    for (name, value) in headers {
        if name.eq_ignore_ascii_case("authorization") {
            plant("access token", value.trim_start_matches("Bearer "));
        }
    }
    for cookie in cookies {
        let value = cookie.split(';').next().and_then(|pair| pair.split_once('=')).map_or("", |(_, value)| value);
        plant("session cookie", value);
    }
    for (text, is_answer) in [(body, false), (answer, true)] {
        // What refuses a secret shows none, so what stands in it is for looking at.
        if !(is_answer && status >= 400)
            && let Ok(json) = serde_json::from_slice::<Value>(text)
        {
            plant_shown(path, &json);
        }
    }
    let is_view = method == "GET" && VIEWS.iter().any(|view| path.starts_with(view));
    if (is_view || status >= 400)
        && let Some(mut file) = file("views", if status >= 400 { "refusals" } else { "answers" })
    {
        let whole = [format!("{method} {path} {status}\n").as_bytes(), answer, b"\n"].concat();
        file.write_all(&whole).unwrap();
    }
}

/// What is a secret by the name of its field.
fn plant_shown(path: &str, json: &Value) {
    match json {
        Value::Object(fields) => {
            for (name, value) in fields {
                let kind = match name.as_str() {
                    "password" | "current" => "password",
                    "access_token" => "access token",
                    "refresh_token" => "refresh token",
                    "ticket" => "ticket",
                    "recovery_codes" => "recovery code",
                    "token" if path.ends_with("/setup") => "setup token",
                    "token" => "API token",
                    "secret" if path.contains("second-factor") => "second factor",
                    "secret" => "webhook secret",
                    "url" if path.contains("notification-targets") => "address of a target",
                    _ => {
                        plant_shown(path, value);
                        continue;
                    }
                };
                let texts: Vec<&str> = match value {
                    Value::Array(values) => values.iter().filter_map(Value::as_str).collect(),
                    value => value.as_str().into_iter().collect(),
                };
                texts.iter().for_each(|text| plant(kind, text));
            }
        }
        Value::Array(values) => values.iter().for_each(|value| plant_shown(path, value)),
        _ => {}
    }
}
