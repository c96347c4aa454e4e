//! A secret is found however it is written and wherever it stands, but where it is printed on purpose.
#![expect(clippy::unwrap_used, reason = "tests")]

use base64::engine::general_purpose::STANDARD;

use super::*;

const SECRET: &str = "hunter2-and-then-some-of-it";
const TOKEN: &str = "pcst_abcdefgh_0123456789012345678901234567890123456789012_abcdef";

/// A folder with this log and this answer, and a secret of every kind.
fn left(log: &str, view: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for part in ["logs", "views", "secrets"] {
        std::fs::create_dir(folder.path().join(part)).unwrap();
    }
    std::fs::write(folder.path().join("logs/a.txt"), log).unwrap();
    std::fs::write(folder.path().join("views/a.txt"), view).unwrap();
    let mut secrets = format!("webhook secret\t{SECRET}\n{SETUP}\tpcsu_{}\n", "s".repeat(43));
    for kind in KINDS {
        writeln!(secrets, "{kind}\tanother secret, of the kind {kind}").unwrap();
    }
    std::fs::write(folder.path().join("secrets/a.txt"), secrets).unwrap();
    folder
}

fn leaks(log: &str, view: &str) -> Vec<String> {
    let folder = left(log, view);
    look(folder.path()).unwrap().leaks.into_iter().map(|leak| leak.what).collect()
}

#[test]
fn a_planted_secret_is_found_however_it_is_written() {
    assert_eq!(leaks("nothing\nof it\n", "{\"items\":[]}\n"), [""; 0]);
    let hex: String = SECRET.bytes().map(|byte| format!("{byte:02x}")).collect();
    for (written, text) in [
        ("as it is", SECRET.to_owned()),
        ("in hexadecimal", hex),
        ("in base64", STANDARD.encode(SECRET)),
        ("in base64", STANDARD.encode(format!("x{SECRET}y"))),
        ("in base64", STANDARD.encode(format!("user:{SECRET}"))),
    ] {
        let expected = [format!("webhook secret, {written}")];
        assert_eq!(leaks(&format!("a line\nan error: {text}\n"), ""), expected, "{text}");
        assert_eq!(leaks("", &format!("{{\"detail\":\"{text}\"}}")), expected, "{text}");
    }
}

#[test]
fn what_looks_like_a_token_of_ours_or_was_made_up_by_a_test_is_found_without_being_planted() {
    assert_eq!(leaks(&format!("with {TOKEN}\n"), ""), ["in the form of a token, pcst_…"]);
    assert_eq!(leaks("with pcst_abcdefgh and no more\n", ""), [""; 0], "the part that is no secret");
    assert_eq!(leaks("amqp://user:pl4nted-xyz@host\n", ""), ["what tests made up, as it is"]);
}

#[test]
fn the_setup_token_may_stand_where_it_is_printed_and_nowhere_else() {
    let token = format!("pcsu_{}", "s".repeat(43));
    let folder = left(&format!("{{\"fields\":{{\"message\":\"no account yet\",\"setup_token\":\"{token}\"}}}}\n"), "");
    let found = look(folder.path()).unwrap();
    assert_eq!((found.setups, found.leaks.len()), (1, 0), "{:?}", found.leaks);

    assert!(!leaks(&format!("refused the token {token}\n"), "").is_empty());
    assert!(!leaks("", &format!("{{\"setup_token\":\"{token}\"}}")).is_empty());
}

#[test]
fn a_run_that_left_too_little_does_not_pass() {
    let least = Least {
        logs: 10,
        views: 2,
        secrets: KINDS.len(),
        every_kind: true,
    };
    let judged = |log: &str, view: &str| judge(&look(left(log, view).path()).unwrap(), least);

    judged("a log of some length\n", "{}\n").unwrap();
    assert!(judged("", "{}\n").unwrap_err().to_string().contains("too little"));
    assert!(judged("a log of some length\n", "").unwrap_err().to_string().contains("too little"));
    assert!(judged(SECRET, "{}\n").unwrap_err().to_string().contains("show a secret"));

    let folder = left("a log of some length\n", "{}\n");
    std::fs::write(folder.path().join("secrets/a.txt"), "password\tone that is long enough\n".repeat(20)).unwrap();
    let few = Least { secrets: 1, ..least };
    let missing = judge(&look(folder.path()).unwrap(), few).unwrap_err().to_string();
    assert!(missing.contains("none was planted") && missing.contains("sealing key"), "{missing}");
    assert!(look(Path::new("/nowhere")).unwrap().logs.0 == 0);
}
