//! The server that bus and cache share where they live on Redis: one pool for commands, a limit of time on each, and a fuse that
//! spares everyone the wait while it is away. Knows nothing of what is sent; bus and cache have their own connections' rules.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ::redis::{AsyncConnectionConfig, Client, IntoConnectionInfo, RedisError, TlsCertificates};
use deadpool::managed::{Pool, QueueMode, Timeouts};
use deadpool_redis::Manager as Connector;
use tokio::time::timeout;

use self::fuse::Fuse;
use self::link::{Lease, Links};
use crate::{Error, Result};

mod fuse;
mod link;
pub(crate) mod names;

/// How Redis is reached; see `config.default.toml`, section `[fabric.redis]`.
#[derive(Clone)]
pub struct RedisOptions {
    /// `redis://` or `rediss://`, with user and password where the server wants them. Never logged.
    pub url: String,
    /// Authorities in PEM that a `rediss://` server's certificate may come from. `None`: those that the system trusts.
    pub ca: Option<Vec<u8>>,
    /// Most connections for commands; the bus has one more for what it hears.
    pub connections: usize,
    /// Longest wait for one command of cache or bus, the wait for a connection included.
    pub command_timeout: Duration,
    /// Longest wait for a new connection, which goes on beyond the command that asked for it.
    pub connect_timeout: Duration,
    /// Silence on the bus's connection after which it is probed; unanswered for as long again, it is given up.
    pub probe_every: Duration,
    /// Messages that wait to be taken from the bus; one that falls behind further is told so.
    pub bus_backlog: usize,
}

/// A server that may come and go. Cheap to clone; every clone shares the pool.
#[derive(Clone)]
pub struct Redis {
    inner: Arc<Inner>,
}

struct Inner {
    options: RedisOptions,
    client: Client,
    pool: Pool<Links>,
    fuse: Fuse,
}

impl Redis {
    /// Gets ready without reaching for the server, which may well be away now and come later.
    ///
    /// # Errors
    /// `Unavailable` where the address or the authorities cannot be read.
    pub fn open(options: RedisOptions) -> Result<Self> {
        let client = client(&options).map_err(|source| unavailable("read the address of redis", source))?;
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(options.connect_timeout))
            .set_response_timeout(Some(options.command_timeout));
        let connector =
            Connector::new_with_config(client.get_connection_info().clone(), config).map_err(|source| unavailable("read the address of redis", source))?;
        let pool = Pool::builder(Links(connector))
            .max_size(options.connections.max(1))
            // The connection that was used last is the one that most likely works, and needs no probe.
            .queue_mode(QueueMode::Lifo)
            .runtime(deadpool::Runtime::Tokio1)
            .timeouts(Timeouts {
                wait: Some(options.command_timeout),
                create: Some(options.connect_timeout),
                recycle: Some(options.command_timeout),
            })
            .build()
            .map_err(|source| unavailable("make a pool for redis", source))?;
        Ok(Redis {
            inner: Arc::new(Inner {
                options,
                client,
                pool,
                fuse: Fuse::default(),
            }),
        })
    }

    /// Whether the server answers now.
    ///
    /// # Errors
    /// `Unavailable` where it does not within the limit of a command.
    pub async fn check(&self) -> Result<()> {
        let ping = async {
            let mut lease = self.lease().await?;
            let answer: ::redis::RedisResult<()> = ::redis::cmd("PING").query_async(lease.connection()).await;
            Ok(lease.settle(answer)?)
        };
        // Past the fuse: whoever asks for its health wants to know, and an answer mends it.
        let answer = timeout(self.inner.options.command_timeout, ping).await;
        self.judge("reach redis", answer)
    }

    /// Does `work` within the limit of a command, or says at once that the server is away.
    pub(crate) async fn within<T>(&self, attempted: &'static str, work: impl Future<Output = Tried<T>>) -> Result<T> {
        if self.inner.fuse.is_blown() {
            return Err(unavailable(attempted, Away));
        }
        let answer = timeout(self.inner.options.command_timeout, work).await;
        self.judge(attempted, answer)
    }

    /// A connection to do some work on.
    pub(crate) async fn lease(&self) -> Tried<Lease> {
        let pool = &self.inner.pool;
        if pool.status().available > 0 {
            return Ok(Lease::new(pool.get().await?));
        }
        // A task of its own, so that a connection which takes longer than the command is there for the next one.
        let pool = pool.clone();
        let taken = tokio::spawn(async move { pool.get().await });
        Ok(Lease::new(taken.await.map_err(|_| Failure::Gone)??))
    }

    pub(crate) fn options(&self) -> &RedisOptions {
        &self.inner.options
    }

    pub(crate) fn client(&self) -> &Client {
        &self.inner.client
    }

    fn judge<T>(&self, attempted: &'static str, answer: std::result::Result<Tried<T>, tokio::time::error::Elapsed>) -> Result<T> {
        let failure = match answer {
            Ok(Ok(done)) => {
                self.inner.fuse.mend();
                return Ok(done);
            }
            // The server is there and says no: nothing to wait for.
            Ok(Err(Failure::Command(refused))) if refused.kind() != ::redis::ErrorKind::Io => return Err(unavailable(attempted, refused)),
            Ok(Err(failure)) => failure,
            Err(elapsed) => Failure::Late(elapsed),
        };
        if self.inner.fuse.strain() {
            tracing::warn!("redis does not answer; commands are refused at once until it does");
        }
        metrics::counter!("pipecast_redis_failures_total").increment(1);
        Err(unavailable(attempted, failure))
    }
}

/// The address may have a password in it.
impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis").field("pool", &self.inner.pool.status()).finish_non_exhaustive()
    }
}

/// What a command comes to.
pub(crate) type Tried<T> = std::result::Result<T, Failure>;

/// Why a command was not done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("the command failed")]
    Command(#[from] RedisError),
    #[error("no connection")]
    Connection(#[from] deadpool::managed::PoolError<RedisError>),
    #[error("no answer in time")]
    Late(#[source] tokio::time::error::Elapsed),
    #[error("the task that connects is gone")]
    Gone,
}

/// It did not answer a moment ago, and is not asked again yet.
#[derive(Debug, thiserror::Error)]
#[error("redis did not answer just now")]
struct Away;

pub(crate) fn unavailable(attempted: &'static str, source: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::Unavailable {
        attempted,
        source: Box::new(source),
    }
}

fn client(options: &RedisOptions) -> ::redis::RedisResult<Client> {
    match &options.ca {
        None => Client::open(options.url.as_str()),
        Some(pem) => Client::build_with_tls(
            options.url.as_str().into_connection_info()?,
            TlsCertificates {
                client_tls: None,
                root_cert: Some(pem.clone()),
            },
        ),
    }
}
