//! A PostgreSQL, and a standby that streams from it and may lag behind.
//! Knows nothing of our tables.

use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, Connection};

use crate::ports;
use crate::process::{Process, Readiness, Recipe};

/// Of the one user. Whoever looks for leaks finds it by its mark.
const PASSWORD: &str = "pl4nted-password-of-postgres";

/// A primary or a standby.
#[derive(Debug)]
pub struct Postgres {
    /// The process.
    pub process: Process,
}

impl Postgres {
    /// Starts a fresh one, whose files and log are in `folder`, with an empty database `pipecast`.
    pub async fn primary(folder: &Path) -> anyhow::Result<Self> {
        let files = folder.join("postgres");
        if !files.exists() {
            prepare(&files)?;
            let password = folder.join("postgres.password");
            std::fs::write(&password, PASSWORD)?;
            super::run(
                program("initdb")?
                    .args(["--no-sync", "-A", "scram-sha-256", "-U", "postgres", "--pwfile"])
                    .arg(&password)
                    .arg("-D")
                    .arg(&files),
            )?;
            std::fs::remove_file(&password)?;
        }
        let server = Postgres::start("postgres", folder, files).await?;
        if server.count("SELECT count(*) FROM pg_database WHERE datname = 'pipecast'", "postgres").await? == 0 {
            server.order_in("postgres", "CREATE DATABASE pipecast").await?;
        }
        Ok(server)
    }

    /// Starts one that streams from `primary`.
    pub async fn standby_of(primary: &Postgres, folder: &Path) -> anyhow::Result<Self> {
        let files = folder.join("standby");
        if files.exists() {
            std::fs::remove_dir_all(&files)?;
        }
        prepare(&files)?;
        let from = format!("host=127.0.0.1 port={} user=postgres", primary.process.address().port());
        super::run(
            program("pg_basebackup")?
                .env("PGPASSWORD", PASSWORD)
                .args(["-d", &from, "-R", "-X", "stream", "-c", "fast", "--no-sync", "-D"])
                .arg(&files),
        )?;
        Postgres::start("standby", folder, files).await
    }

    async fn start(name: &str, folder: &Path, files: PathBuf) -> anyhow::Result<Self> {
        let address = ports::free()?;
        program("postgres")?;
        let process = Process::new(Recipe {
            name: name.to_owned(),
            address,
            folder: folder.to_owned(),
            command: Box::new(move || {
                let mut command = program("postgres").expect("it was there before");
                command.arg("-D").arg(&files);
                for setting in [
                    format!("port={}", address.port()),
                    "listen_addresses=127.0.0.1".to_owned(),
                    "unix_socket_directories=".to_owned(),
                    "max_connections=100".to_owned(),
                    "shared_buffers=64MB".to_owned(),
                    "max_wal_size=1GB".to_owned(),
                ] {
                    command.args(["-c", &setting]);
                }
                command
            }),
            readiness: Readiness::Listens,
            // "Fast": it does not wait for its clients.
            farewell: "INT",
        });
        process.start()?;
        let server = Postgres { process };
        server.ready().await?;
        Ok(server)
    }

    /// Waits until it takes statements, which is later than connections.
    pub async fn ready(&self) -> anyhow::Result<()> {
        loop {
            self.process.ready().await?;
            if self.order_in("postgres", "SELECT 1").await.is_ok() {
                return Ok(());
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }

    /// Where the database of Pipecast is, seen through `address`: the server's own or a gate's.
    pub fn url_at(address: SocketAddr) -> String {
        format!("postgres://postgres:{PASSWORD}@{address}/pipecast")
    }

    /// The same at the server itself.
    pub fn url(&self) -> String {
        Self::url_at(self.process.address())
    }

    /// A connection of an operator's, past all gates.
    pub async fn connect(&self) -> anyhow::Result<PgConnection> {
        self.connect_to("pipecast").await
    }

    /// Does something in Pipecast's database that only an operator would.
    pub async fn order(&self, sql: &str) -> anyhow::Result<()> {
        self.order_in("pipecast", sql).await
    }

    /// Ends every connection of a client, in the middle of whatever it does.
    pub async fn terminate_backends(&self) -> anyhow::Result<()> {
        self.order("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'pipecast' AND pid <> pg_backend_pid()")
            .await
    }

    /// A standby: what comes is kept and not shown, so that it lags behind.
    pub async fn pause_replay(&self) -> anyhow::Result<()> {
        self.order_in("postgres", "SELECT pg_wal_replay_pause()").await
    }

    /// A standby: it catches up.
    pub async fn resume_replay(&self) -> anyhow::Result<()> {
        self.order_in("postgres", "SELECT pg_wal_replay_resume()").await
    }

    async fn connect_to(&self, database: &str) -> anyhow::Result<PgConnection> {
        let address = self.process.address();
        let options = PgConnectOptions::new_without_pgpass()
            .host("127.0.0.1")
            .port(address.port())
            .username("postgres")
            .password(PASSWORD)
            .database(database);
        PgConnection::connect_with(&options).await.context("cannot reach postgres")
    }

    async fn order_in(&self, database: &str, sql: &str) -> anyhow::Result<()> {
        let mut connection = self.connect_to(database).await?;
        sqlx::query(AssertSqlSafe(sql.to_owned())).execute(&mut connection).await?;
        Ok(connection.close().await?)
    }

    async fn count(&self, sql: &str, database: &str) -> anyhow::Result<i64> {
        let mut connection = self.connect_to(database).await?;
        Ok(sqlx::query_scalar(AssertSqlSafe(sql.to_owned())).fetch_one(&mut connection).await?)
    }
}

/// One of PostgreSQL's programs, which refuse to be run by root and are the user `postgres` then.
fn program(name: &str) -> anyhow::Result<Command> {
    let needed = "needs PostgreSQL's server programs in /usr/lib/postgresql; on Debian: apt-get install postgresql";
    let mut versions: Vec<_> = std::fs::read_dir("/usr/lib/postgresql")
        .context(needed)?
        .flatten()
        .map(|version| version.path().join("bin"))
        .filter(|programs| programs.join("pg_basebackup").exists())
        .collect();
    versions.sort();
    let mut command = Command::new(versions.pop().context(needed)?.join(name));
    if is_root()? {
        command.uid(number_of("-u", "postgres")?).gid(number_of("-g", "postgres")?);
    }
    command.current_dir("/");
    Ok(command)
}

/// A folder that belongs to whoever runs the programs.
fn prepare(files: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(files)?;
    std::fs::set_permissions(files, std::os::unix::fs::PermissionsExt::from_mode(0o700))?;
    if is_root()? {
        super::run(Command::new("chown").arg("postgres:").arg(files))?;
    }
    Ok(())
}

fn is_root() -> anyhow::Result<bool> {
    let id = Command::new("id").arg("-u").output()?;
    Ok(id.stdout.starts_with(b"0\n"))
}

fn number_of(which: &str, user: &str) -> anyhow::Result<u32> {
    let id = Command::new("id").args([which, user]).output()?;
    String::from_utf8_lossy(&id.stdout).trim().parse().context("the user postgres is there")
}
