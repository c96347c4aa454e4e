//! One life of the publishing connection: the line, its postman, and what has been noticed about it.
//! Knows nothing of how it begins again.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use lapin::Channel;
use lapin::options::ConfirmSelectOptions;
use lapin::uri::AMQPUri;
use tokio::sync::{mpsc, oneshot};

use super::RabbitmqOptions;
use super::line::{Line, SETTLING_IN, within};
use super::postman::{self, Parcel};
use super::topology::{self, Place};

/// Messages on their way to the postman.
const PARCELS: usize = 1024;

/// One connection's life.
pub(super) struct Session {
    pub(super) line: Line,
    /// The postman's. The broker may end it alone.
    pub(super) channel: Channel,
    pub(super) parcels: mpsc::Sender<Parcel>,
    /// For questions. Opened when there is one, and again after one that was answered by closing it.
    asking: tokio::sync::Mutex<Option<Channel>>,
    /// A queue was missing.
    pub(super) incomplete: AtomicBool,
    /// A confirm did not come in time.
    pub(super) silent: AtomicBool,
}

impl Session {
    /// Connects, makes sure of the queues, and starts a postman.
    pub(super) async fn open(uri: &AMQPUri, options: &RabbitmqOptions) -> lapin::Result<Session> {
        within(options.connect_timeout * SETTLING_IN, Session::settle_in(uri, options)).await
    }

    /// The connection lives on a thread of its own, with the postman: whoever sends is on another one anyway, a runtime with several
    /// threads wakes a second one for each message to look whether there is more to do, and while the postman lingers, confirms gather in
    /// the socket. The thread ends with the session.
    async fn settle_in(uri: &AMQPUri, options: &RabbitmqOptions) -> lapin::Result<Session> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (mut opened, opening) = oneshot::channel();
        let (uri, options) = (uri.clone(), options.clone());
        std::thread::Builder::new().name("postman".to_owned()).spawn(move || {
            runtime.block_on(async move {
                let inbox = tokio::select! {
                    session = Session::settle_here(&uri, &options) => match session {
                        Ok((session, inbox)) => {
                            let channel = session.channel.clone();
                            opened.send(Ok(session)).is_ok().then_some((channel, inbox))
                        }
                        Err(error) => {
                            drop(opened.send(Err(error)));
                            None
                        }
                    },
                    // Nobody waits for it any more.
                    () = opened.closed() => None,
                };
                if let Some((channel, inbox)) = inbox {
                    postman::deliver(channel, inbox).await;
                }
            });
        })?;
        opening.await.map_err(|_| io::Error::other("the postman has ended"))?
    }

    async fn settle_here(uri: &AMQPUri, options: &RabbitmqOptions) -> lapin::Result<(Session, mpsc::Receiver<Parcel>)> {
        let line = Line::open(uri, options, "pipecast publishing").await?;
        topology::declare(&line.connection, &options.prefix).await?;
        let channel = line.connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        let (parcels, inbox) = mpsc::channel(PARCELS);
        let session = Session {
            line,
            channel,
            parcels,
            asking: tokio::sync::Mutex::new(None),
            incomplete: false.into(),
            silent: false.into(),
        };
        Ok((session, inbox))
    }

    /// Whether there is still a connection, and a postman on it.
    pub(super) fn is_up(&self) -> bool {
        self.line.is_up() && self.channel.status().connected()
    }

    /// Whether it is worth keeping.
    pub(super) fn is_well(&self) -> bool {
        // While it is blocked nothing is confirmed, and a new connection would be blocked as well.
        self.is_up() && (self.line.is_blocked() || !self.silent.load(Ordering::Relaxed))
    }

    /// How many messages wait at `place`.
    pub(super) async fn count(&self, place: Place, prefix: &str) -> lapin::Result<u64> {
        let mut asking = self.asking.lock().await;
        let channel = match asking.take() {
            Some(channel) if channel.status().connected() => channel,
            _ => self.line.connection.create_channel().await?,
        };
        let count = topology::count(&channel, place, prefix).await?;
        *asking = Some(channel);
        Ok(count)
    }
}
