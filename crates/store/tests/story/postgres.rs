//! A PostgreSQL of a story's own, on a port of its own, and a standby that streams from it. Either can be killed, frozen and started again.
//! Knows nothing of our tables.

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tempfile::TempDir;

/// A server. Dropped, it is killed and its files are taken away.
pub(crate) struct Postgres {
    programs: PathBuf,
    directory: TempDir,
    port: u16,
    settings: Vec<String>,
    process: Mutex<Option<Child>>,
}

impl Postgres {
    /// A fresh one with these settings besides the usual ones.
    pub(crate) fn primary(settings: &[&str]) -> Postgres {
        let server = Postgres::prepare(settings);
        server.run(
            "initdb",
            [
                "--no-sync".as_ref(),
                "-A".as_ref(),
                "trust".as_ref(),
                "-U".as_ref(),
                "postgres".as_ref(),
                "-D".as_ref(),
                server.files().as_os_str(),
            ],
        );
        server.start();
        server
    }

    /// One that streams from `primary` from now on.
    pub(crate) fn standby_of(primary: &Postgres) -> Postgres {
        let server = Postgres::prepare(&[]);
        let from = format!("host=127.0.0.1 port={} user=postgres", primary.port);
        let arguments = ["-d", &from, "-R", "-X", "stream", "-c", "fast", "--no-sync", "-D"].map(OsStr::new);
        server.run("pg_basebackup", arguments.into_iter().chain([server.files().as_os_str()]));
        server.start();
        server
    }

    fn prepare(settings: &[&str]) -> Postgres {
        let mut versions: Vec<_> = std::fs::read_dir("/usr/lib/postgresql")
            .expect("the package postgresql is installed")
            .map(|version| version.unwrap().path().join("bin"))
            .collect();
        versions.sort();
        let directory = tempfile::tempdir().unwrap();
        let port = crate::ports::free().unwrap().port();
        let usual = [
            format!("port={port}"),
            "listen_addresses=127.0.0.1".to_owned(),
            format!("unix_socket_directories={}", directory.path().display()),
            "fsync=off".to_owned(),
            "max_connections=40".to_owned(),
            "shared_buffers=8MB".to_owned(),
        ];
        let server = Postgres {
            programs: versions.pop().expect("the package postgresql is installed"),
            settings: usual.into_iter().chain(settings.iter().map(|setting| (*setting).to_owned())).collect(),
            directory,
            port,
            process: Mutex::default(),
        };
        if is_root() {
            assert!(Command::new("chown").arg("postgres").arg(server.directory.path()).status().unwrap().success());
        }
        server
    }

    /// Where a database `postgres` with a superuser `postgres` is.
    pub(crate) fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    fn files(&self) -> PathBuf {
        self.directory.path().join("db")
    }

    /// Starts it where it was.
    pub(crate) fn start(&self) {
        let settings = self.settings.iter().flat_map(|setting| ["-c", setting]);
        let log = File::options().create(true).append(true).open(self.path("log")).unwrap();
        let child = self.command("postgres").arg("-D").arg(self.files()).args(settings).stderr(log).spawn().unwrap();
        *self.process.lock().unwrap() = Some(child);
        let begun = Instant::now();
        let is_ready = || {
            self.command("pg_isready")
                .args(["-h", "127.0.0.1", "-p"])
                .arg(self.port.to_string())
                .status()
                .unwrap()
                .success()
        };
        while !is_ready() {
            assert!(
                begun.elapsed() < Duration::from_secs(20),
                "it does not start: {}",
                std::fs::read_to_string(self.path("log")).unwrap()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Ends it as a crash would.
    pub(crate) fn kill(&self) {
        self.signal("KILL");
        if let Some(mut child) = self.process.lock().unwrap().take() {
            child.wait().unwrap();
        }
    }

    /// Stops all of it without ending it: connections stay, and nothing is answered.
    pub(crate) fn freeze(&self) {
        self.signal("STOP");
    }

    /// Lets it go on.
    pub(crate) fn thaw(&self) {
        self.signal("CONT");
    }

    /// Does something there that only an operator would.
    pub(crate) async fn order(&self, sql: &str) {
        let mut connection = PgConnection::connect(&self.url()).await.unwrap();
        sqlx::query(AssertSqlSafe(sql.to_owned())).execute(&mut connection).await.unwrap();
    }

    /// The number that a query finds there.
    pub(crate) async fn count(&self, sql: &str) -> i64 {
        let mut connection = PgConnection::connect(&self.url()).await.unwrap();
        sqlx::query_scalar(AssertSqlSafe(sql.to_owned())).fetch_one(&mut connection).await.unwrap()
    }

    /// A new authority; where its certificate is.
    pub(crate) fn authority(&self, name: &str) -> PathBuf {
        let (key, certificate) = (self.path(&format!("{name}.key")), self.path(&format!("{name}.crt")));
        openssl(&[
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "2",
            "-subj",
            &format!("/CN={name}"),
            "-keyout",
            &text(&key),
            "-out",
            &text(&certificate),
        ]);
        certificate
    }

    /// Gives the server a certificate for this host from an authority of its own, and lets it use TLS from now on; where the
    /// authority's certificate is.
    pub(crate) fn certify(&self, host: &str) -> PathBuf {
        let authority = self.path("ca.crt");
        if !authority.exists() {
            self.authority("ca");
        }
        let (key, request, certificate, names) = (self.path("db/server.key"), self.path("request"), self.path("db/server.crt"), self.path("names"));
        let kind = if host.parse::<std::net::IpAddr>().is_ok() { "IP" } else { "DNS" };
        std::fs::write(&names, format!("subjectAltName={kind}:{host}\n")).unwrap();
        openssl(&[
            "req",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-subj",
            &format!("/CN={host}"),
            "-keyout",
            &text(&key),
            "-out",
            &text(&request),
        ]);
        openssl(&[
            "x509",
            "-req",
            "-in",
            &text(&request),
            "-CA",
            &text(&authority),
            "-CAkey",
            &text(&self.path("ca.key")),
            "-CAcreateserial",
            "-days",
            "2",
            "-extfile",
            &text(&names),
            "-out",
            &text(&certificate),
        ]);
        if is_root() {
            assert!(Command::new("chown").arg("postgres").args([&key, &certificate]).status().unwrap().success());
        }
        assert!(Command::new("chmod").arg("600").arg(&key).status().unwrap().success());
        let own = self.path("db/postgresql.auto.conf");
        std::fs::write(&own, "ssl = on\n").unwrap();
        let files = self.files();
        self.run("pg_ctl", ["-D".as_ref(), files.as_os_str(), "reload".as_ref()]);
        authority
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Signals the postmaster and, because each of them leads a group of its own, all its children.
    fn signal(&self, signal: &str) {
        let Some(postmaster) = self.process.lock().unwrap().as_ref().map(Child::id) else {
            return;
        };
        let children = std::fs::read_to_string(format!("/proc/{postmaster}/task/{postmaster}/children")).unwrap_or_default();
        let all = children.split_whitespace().map(str::to_owned).chain([postmaster.to_string()]);
        drop(Command::new("kill").arg(format!("-{signal}")).args(all).stderr(Stdio::null()).status());
    }

    fn run<'a>(&self, program: &str, arguments: impl IntoIterator<Item = &'a OsStr>) {
        let status = self.command(program).args(arguments).stderr(Stdio::null()).status().unwrap();
        assert!(status.success(), "{program} failed");
    }

    /// One of PostgreSQL's programs, which refuse to be run by root.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.programs.join(program));
        if is_root() {
            command.uid(number_of("-u")).gid(number_of("-g"));
        }
        command.current_dir("/").stdin(Stdio::null()).stdout(Stdio::null());
        command
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The user `postgres` or its group, by number.
fn number_of(which: &str) -> u32 {
    let id = Command::new("id").args([which, "postgres"]).output().unwrap();
    String::from_utf8_lossy(&id.stdout).trim().parse().expect("the user postgres is there")
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output().unwrap();
    id.stdout.starts_with(b"0\n")
}

fn openssl(arguments: &[&str]) {
    let status = Command::new("openssl").args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).status();
    assert!(status.expect("openssl is installed").success(), "openssl {arguments:?}");
}

fn text(path: &Path) -> String {
    path.display().to_string()
}
