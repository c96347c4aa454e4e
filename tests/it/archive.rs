//! Backup and restore as an operator has them: what the commands refuse, and what they leave behind. What comes of them is drilled in `drill`.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use pipecast::simulate::forge::{self, Forge};
use pipecast::simulate::letters::{Letter, Letters, Way};
use pipecast::simulate::postman::{self, Fate, Pace, Postman, Retry};
use pipecast::simulate::seal::{Seal, Secrets};
use serde_json::json;
use sqlx::{AssertSqlSafe, Connection, PgConnection, Row, SqliteConnection};
use tokio_util::sync::CancellationToken;

use crate::accounts::post;
use crate::app::{ADMIN, GITHUB_SECRET, GITLAB_SECRET, PASSWORD};
use crate::binary::Process;
use crate::live::run;

/// Longest wait for something that must become so.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A data directory, and what is run on it.
pub struct Place {
    pub folder: tempfile::TempDir,
    pub url: Option<String>,
}

impl Place {
    pub fn new() -> Place {
        Place {
            folder: tempfile::tempdir().unwrap(),
            url: None,
        }
    }

    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub fn archive(&self) -> PathBuf {
        self.folder.path().join("backup.pipecast")
    }

    pub fn serve(&self) -> Process {
        let data = self.data();
        let mut settings = vec![
            ("PIPECAST_DATA_DIR", data.to_str().unwrap()),
            ("PIPECAST_WEBHOOKS__GITLAB__SECRET", GITLAB_SECRET),
        ];
        settings.extend(self.url.as_deref().map(|url| ("PIPECAST_STORE__URL", url)));
        Process::start(&settings)
    }

    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .env("PIPECAST_DATA_DIR", self.data())
            .envs(self.url.as_ref().map(|url| ("PIPECAST_STORE__URL", url)));
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command(env!("CARGO_BIN_EXE_pipecast")).args(arguments).output().unwrap()
    }

    pub fn backup(&self) -> PathBuf {
        good(&self.run(&["backup", self.archive().to_str().unwrap(), "--force"]));
        self.archive()
    }

    pub fn restore(&self, archive: &Path) -> Output {
        self.run(&["restore", archive.to_str().unwrap()])
    }

    /// One text for each row that this query finds.
    pub async fn look(&self, sql: &str) -> Vec<String> {
        let sql = AssertSqlSafe(sql.to_owned());
        match &self.url {
            Some(url) => {
                let rows = sqlx::query(sql).fetch_all(&mut PgConnection::connect(url).await.unwrap()).await.unwrap();
                rows.iter().map(|row| row.get(0)).collect()
            }
            None => {
                let url = format!("sqlite:{}", self.data().join("pipecast.db").display());
                let rows = sqlx::query(sql).fetch_all(&mut SqliteConnection::connect(&url).await.unwrap()).await.unwrap();
                rows.iter().map(|row| row.get(0)).collect()
            }
        }
    }

    pub async fn count(&self, rest: &str) -> i64 {
        self.look(&format!("SELECT CAST(count(*) AS TEXT) FROM {rest}")).await[0].parse().unwrap()
    }

    /// What everybody would see, by the hosts' own names: two places that were told the same show the same. Refs are left out: a push of GitHub has
    /// no time but that of its arrival.
    pub async fn picture(&self) -> BTreeSet<String> {
        let text = |column: &str| format!("coalesce(CAST({column} AS TEXT), '-')");
        let line = |columns: &[&str]| columns.iter().map(|column| text(column)).collect::<Vec<_>>().join(" || ' ' || ");
        let of_executions = [
            "p.external_id",
            "e.external_id",
            "e.attempt",
            "e.status",
            "e.raw_status",
            "e.raw_conclusion",
            "e.number",
            "e.branch",
            "e.title",
            "e.started_at",
            "e.finished_at",
            "e.version",
        ];
        let of_jobs = [
            "e.external_id",
            "e.attempt",
            "j.external_id",
            "j.name",
            "j.status",
            "j.runner",
            "j.started_at",
            "j.finished_at",
            "j.version",
        ];
        let of_pipelines = ["p.external_id", "l.external_id", "l.name", "l.status"];
        let mut picture = BTreeSet::new();
        for sql in [
            format!("SELECT {} FROM executions e JOIN projects p ON p.id = e.project_id", line(&of_executions)),
            format!("SELECT {} FROM jobs j JOIN executions e ON e.id = j.execution_id", line(&of_jobs)),
            format!("SELECT {} FROM pipelines l JOIN projects p ON p.id = l.project_id", line(&of_pipelines)),
            format!("SELECT {} FROM changes", line(&["number", "title", "state", "version"])),
        ] {
            picture.extend(self.look(&sql).await);
        }
        picture
    }

    /// Keys of the deliveries that have had their effect.
    pub async fn applied(&self) -> BTreeSet<String> {
        self.look("SELECT delivery_key FROM deliveries WHERE delivery_key IS NOT NULL AND outcome <> 'refused'")
            .await
            .into_iter()
            .collect()
    }
}

pub fn good(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// What it said when it refused, which must be with exit code 1.
pub fn refusal(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// What is in the folder of a place beside its data directory.
pub fn beside_data(place: &Place) -> Vec<String> {
    let entries = std::fs::read_dir(place.folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap());
    entries.filter(|name| name != "data").collect()
}

pub async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !condition().await {
        assert!(began.elapsed() < PATIENCE, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// So many letters of a simulated life, with repetitions and out of order.
pub fn life(count: usize) -> Vec<Letter> {
    let forge = Forge::new(forge::Options {
        pushes_per_second: 2.0,
        ..forge::Options::default()
    });
    let way = Way {
        duplicates: 0.2,
        reorder: Duration::from_secs(1),
        seed: 1,
    };
    Letters::new(forge, way).take(count).collect()
}

/// Delivers letters and notes when each key was acknowledged first.
pub async fn deliver(to: &Process, letters: &[Letter], pace: Pace, acknowledged: &Mutex<HashMap<String, Instant>>) {
    let secrets = Secrets {
        github: GITHUB_SECRET.into(),
        gitlab: GITLAB_SECRET.into(),
    };
    let options = postman::Options {
        connections: 8,
        pace,
        retry: Retry::After(Duration::from_millis(100)),
        patience: Duration::from_secs(10),
    };
    let postman = Postman::new(to.address, Seal::new(&secrets, &to.address.to_string(), "").unwrap(), options);
    let note = |receipt: &postman::Receipt| {
        if matches!(receipt.fate, Fate::Acknowledged(_)) {
            acknowledged.lock().unwrap().entry(receipt.letter.event.id.clone()).or_insert_with(Instant::now);
        }
    };
    postman.deliver(letters.iter().cloned(), &CancellationToken::new(), note).await;
}

#[tokio::test]
async fn an_archive_that_is_not_whole_or_not_ours_is_refused_before_anything_is_written() {
    let (here, there) = (Place::new(), Place::new());
    let service = here.serve();
    service.deliver(&run(1001, "in_progress", None, 1)).await;
    until("it is applied", async || here.count("executions").await == 1).await;
    let whole = std::fs::read(here.backup()).unwrap();
    let text = String::from_utf8(whole.clone()).unwrap();
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let without = |index: usize| {
        lines
            .iter()
            .enumerate()
            .filter(|(at, _)| *at != index)
            .map(|(_, line)| *line)
            .collect::<String>()
    };
    let flipped = text.replacen("rocket", "rockeT", 1);
    let schema = format!("\"schema\":{},", pipecast_store::archive::newest_schema());
    let newer_schema = text.replacen(&schema, "\"schema\":9999,", 1);
    let newer_format = text.replacen("\"format\":1,", "\"format\":2,", 1);
    assert!(flipped != text && newer_schema != text && newer_format != text);

    for (bytes, expected) in [
        (whole[..whole.len() - 1].to_vec(), "cut off"),
        (whole[..whole.len() / 2].to_vec(), "cut off"),
        (lines[..lines.len() - 1].concat().into_bytes(), "cut off"),
        (Vec::new(), "is not an archive"),
        (whole[..20].to_vec(), "is not an archive"),
        (b"SQLite format 3\0".to_vec(), "is not an archive"),
        (b"{\"archive\":\"another\",\"format\":1}\n".to_vec(), "is not an archive"),
        (flipped.into_bytes(), "is damaged: its SHA-256 is another"),
        (without(lines.len() - 5).into_bytes(), "is damaged"),
        ([&whole[..], b"more\n"].concat(), "is damaged: something follows its end"),
        (newer_schema.into_bytes(), "schema is newer than this build's"),
        (newer_format.into_bytes(), "format of archives is newer"),
    ] {
        std::fs::write(there.archive(), &bytes).unwrap();

        let said = refusal(&there.restore(&there.archive()));

        assert!(said.contains(expected), "{expected}: {said}");
        assert!(!there.data().join("pipecast.db").exists(), "{expected}: nothing is written");
    }
    std::fs::write(there.archive(), &whole).unwrap();
    good(&there.restore(&there.archive()));
    assert_eq!(there.picture().await, here.picture().await);
}

#[tokio::test]
async fn nothing_is_replaced_unless_that_is_asked_for() {
    let (here, there) = (Place::new(), Place::new());
    let mut first = here.serve();
    first.deliver(&run(1001, "in_progress", None, 1)).await;
    until("it is applied", async || here.count("executions").await == 1).await;
    let archive = here.backup();
    let old = std::fs::read(&archive).unwrap();
    first.deliver(&run(1002, "in_progress", None, 1)).await;
    until("it is applied", async || here.count("executions").await == 2).await;

    assert!(refusal(&here.run(&["backup", archive.to_str().unwrap()])).contains("is there already"));
    assert_eq!(std::fs::read(&archive).unwrap(), old);
    assert!(refusal(&here.restore(&archive)).contains("stop the service that uses this data_dir first"));
    first.signal("-TERM");
    assert!(first.ended(PATIENCE).1);
    let said = refusal(&here.restore(&archive));
    assert!(said.contains("not empty") && said.contains("--force"), "{said}");
    assert_eq!(here.count("executions").await, 2);

    good(&here.run(&["restore", archive.to_str().unwrap(), "--force"]));
    assert_eq!(here.count("executions").await, 1);
    std::fs::create_dir_all(here.data().join("keys")).unwrap();
    let beside = here.data().join("keys/backup");
    assert!(refusal(&here.run(&["backup", beside.to_str().unwrap()])).contains("must not lie beside the keys"));
    assert!(refusal(&there.run(&["backup", there.archive().to_str().unwrap()])).contains("cannot open the database"));
}

#[tokio::test]
async fn a_session_that_was_open_in_a_backup_has_ended_when_it_is_restored() {
    let (here, there) = (Place::new(), Place::new());
    let password = here.folder.path().join("password");
    std::fs::write(&password, PASSWORD).unwrap();
    good(&here.run(&["create-admin", ADMIN, "--password-file", password.to_str().unwrap()]));
    let service = here.serve();
    let login = post("/admin/v1/sessions", &json!({"name": ADMIN, "password": PASSWORD}));
    assert_eq!(login.send(service.address).await.status, 201);
    let archive = here.backup();
    assert_eq!(here.count("sessions WHERE ended_at IS NULL").await, 1);

    good(&there.restore(&archive));

    assert_eq!(there.look("SELECT ended_by FROM sessions").await, ["restored"]);
    assert_eq!(here.count("sessions WHERE ended_at IS NULL").await, 1, "a backup ends nothing");
}

/// A limit on the size of files stands for the full disk: every write beyond it fails.
fn on_a_full_disk(place: &Place, arguments: &[&str]) -> Output {
    let mut shell = place.command("sh");
    shell.args(["-c", "trap '' XFSZ; ulimit -S -f 64; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_pipecast")]);
    shell.args(arguments).output().unwrap()
}

#[tokio::test]
async fn a_full_disk_leaves_no_archive_and_no_half_database() {
    let (here, there) = (Place::new(), Place::new());
    let service = here.serve();
    deliver(&service, &life(100), Pace::Unbounded, &Mutex::default()).await;
    until("all is applied", async || here.count("delivery_bodies").await > 80).await;
    let archive = here.archive();

    let said = refusal(&on_a_full_disk(&here, &["backup", archive.to_str().unwrap()]));
    assert!(said.contains("cannot write"), "{said}");
    assert!(beside_data(&here).is_empty(), "{:?}", beside_data(&here));

    let archive = here.backup();
    let said = refusal(&on_a_full_disk(&there, &["restore", archive.to_str().unwrap()]));
    assert!(said.contains("cannot restore"), "{said}");
    good(&there.restore(&archive));
    until("it is the same", async || there.picture().await == here.picture().await).await;
}
