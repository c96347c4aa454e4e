//! One connection to the broker that can always be ended, also where the broker no longer reads or answers.
//! Knows nothing of queues and messages.

use std::io;
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lapin::tcp::{AsyncTcpStream, OwnedTLSConfig};
use lapin::uri::{AMQPScheme, AMQPUri};
use lapin::{Connection, ConnectionProperties};

use super::RabbitmqOptions;

/// How often each side says that it lives, where the URL says nothing else, in seconds. The broker gives up a worker that stands still after
/// two to three of them, and what it had comes to another one: within half a minute.
const HEARTBEAT: u16 = 8;
/// Connecting and making sure of the queues may take so many times as long as connecting alone.
pub(super) const SETTLING_IN: u32 = 3;
/// How long a polite farewell may take.
const FAREWELL: Duration = Duration::from_secs(2);

/// A connection. Dropped without `close`, its socket is cut off, so that nothing of it stays behind.
pub(super) struct Line {
    pub(super) connection: Connection,
    socket: Socket,
}

/// A second handle on the socket, to cut it off: lapin's own thread would else wait for a silent broker for ever.
#[derive(Clone, Default)]
struct Socket(Arc<Mutex<Option<std::net::TcpStream>>>);

impl Line {
    /// Connects. `name` is shown by the broker's tools.
    pub(super) async fn open(uri: &AMQPUri, options: &RabbitmqOptions, name: &str) -> lapin::Result<Line> {
        let patience = options.connect_timeout;
        let tls = OwnedTLSConfig {
            identity: None,
            cert_chain: options.ca.clone(),
        };
        let mut uri = uri.clone();
        uri.query.heartbeat.get_or_insert(HEARTBEAT);
        let socket = Socket::default();
        let slot = socket.clone();
        let properties = ConnectionProperties::default().with_connection_name(name.into());
        let connecting = Connection::connector(
            uri,
            lapin::runtime::default_runtime()?,
            async move |uri, runtime| {
                let address = runtime.to_socket_addrs((uri.authority.host.clone(), uri.authority.port));
                let connecting = async {
                    let stream = AsyncTcpStream::connect(&runtime, address).await?;
                    if let AsyncTcpStream::Plain(plain) = &stream {
                        plain.get_ref().set_nodelay(true)?;
                        slot.fill(plain.get_ref().as_fd().try_clone_to_owned()?.into());
                    }
                    match uri.scheme {
                        AMQPScheme::AMQP => Ok(stream),
                        AMQPScheme::AMQPS => stream.into_tls(&uri.authority.host, tls.as_ref()).await,
                    }
                };
                Ok(tokio::time::timeout(patience, connecting).await.map_err(|_| silent())??)
            },
            properties,
        );
        match within(patience, connecting).await {
            Ok(connection) => Ok(Line { connection, socket }),
            Err(error) => {
                socket.cut();
                Err(error)
            }
        }
    }

    /// Whether it can still be used.
    pub(super) fn is_up(&self) -> bool {
        self.connection.status().connected()
    }

    /// Whether the broker has said that it takes nothing for now.
    pub(super) fn is_blocked(&self) -> bool {
        self.connection.status().blocked()
    }

    /// Says goodbye where that can be heard, then cuts it off. The broker reads what was written before.
    pub(super) async fn close(&self) {
        if self.is_up() && !self.is_blocked() {
            let _ended = tokio::time::timeout(FAREWELL, self.connection.close(200, "goodbye".into())).await;
        }
        self.socket.cut();
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.socket.cut();
    }
}

impl Socket {
    fn fill(&self, socket: std::net::TcpStream) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(socket);
    }

    fn cut(&self) {
        if let Some(socket) = self.0.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // Fails where the other side was faster, which is as good.
            let _gone = socket.shutdown(Shutdown::Both);
        }
    }
}

/// A question to the broker that it answers within `patience`.
pub(super) async fn within<T>(patience: Duration, question: impl Future<Output = lapin::Result<T>>) -> lapin::Result<T> {
    match tokio::time::timeout(patience, question).await {
        Ok(answer) => answer,
        Err(_) => Err(silent().into()),
    }
}

fn silent() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "the broker does not answer")
}
