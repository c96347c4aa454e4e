//! One connection for commands, and the generation of the server at its other end.

use std::sync::Arc;
use std::time::Duration;

use ::redis::aio::MultiplexedConnection;
use ::redis::{ErrorKind, FromRedisValue, InfoDict, RedisError, RedisResult};
use deadpool::managed::{Manager, Metrics, Object, RecycleResult};
use deadpool_redis::Manager as Connector;

/// A connection that was used a moment ago is not probed before it is used again.
const FRESH: Duration = Duration::from_secs(1);

/// Makes connections and looks after them.
#[derive(Debug)]
pub(super) struct Links(pub(super) Connector);

/// A connection. It never outlives the process at its other end, so what is read through it belongs to `generation`.
pub(crate) struct Link {
    connection: MultiplexedConnection,
    /// The server's `run_id`: another one after every restart.
    generation: Arc<str>,
}

impl Manager for Links {
    type Type = Link;
    type Error = RedisError;

    async fn create(&self) -> RedisResult<Link> {
        let mut connection = self.0.create().await?;
        let info: InfoDict = ::redis::cmd("INFO").arg("server").query_async(&mut connection).await?;
        let run_id = info
            .find(&"run_id")
            .ok_or_else(|| RedisError::from((ErrorKind::UnexpectedReturnType, "INFO has no run_id")))?;
        Ok(Link {
            connection,
            generation: String::from_redis_value_ref(run_id)?.into(),
        })
    }

    async fn recycle(&self, link: &mut Link, metrics: &Metrics) -> RecycleResult<RedisError> {
        if metrics.last_used() < FRESH {
            return Ok(());
        }
        self.0.recycle(&mut link.connection, metrics).await
    }
}

/// A connection in use. Whoever drops it without an answer leaves a connection in doubt, which then never returns to the pool.
pub(crate) struct Lease {
    object: Option<Object<Links>>,
    is_settled: bool,
}

impl Lease {
    pub(super) fn new(object: Object<Links>) -> Self {
        Lease {
            object: Some(object),
            is_settled: false,
        }
    }

    pub(crate) fn connection(&mut self) -> &mut MultiplexedConnection {
        &mut self.link().connection
    }

    pub(crate) fn generation(&mut self) -> Arc<str> {
        Arc::clone(&self.link().generation)
    }

    /// Gives the connection back, if the answer came from the server.
    pub(crate) fn settle<T>(&mut self, answer: RedisResult<T>) -> RedisResult<T> {
        self.is_settled = match &answer {
            Ok(_) => true,
            Err(error) => !error.is_unrecoverable_error() && !error.is_timeout(),
        };
        answer
    }

    fn link(&mut self) -> &mut Link {
        self.object.as_mut().expect("only the drop takes it")
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(object) = self.object.take()
            && !self.is_settled
        {
            drop(Object::take(object));
        }
    }
}
