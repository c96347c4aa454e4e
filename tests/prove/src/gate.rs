//! A door of ours between a client and its server, at which the way can be cut, fall silent, or be slow.
//! Knows nothing of what goes through.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::sleep;

/// What happens at the door.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Everything goes through.
    Open,
    /// Who comes is refused, and what was connected is reset.
    Cut,
    /// Connections stay and new ones are taken; nothing goes through, and what waits goes on when it is open again.
    Hanging,
    /// Everything goes through this much later; not for measuring throughput, because one piece waits for the one before.
    Slow(Duration),
}

/// A door to one server. Dropped, it is cut for good.
#[derive(Debug)]
pub struct Gate {
    /// Where clients connect.
    pub address: SocketAddr,
    way: watch::Sender<Way>,
    keeper: JoinHandle<()>,
}

impl Gate {
    /// An open one in front of `server`.
    pub async fn to(server: SocketAddr) -> anyhow::Result<Self> {
        let address = crate::ports::free()?;
        let listener = TcpListener::bind(address).await?;
        let (way, seen) = watch::channel(Way::Open);
        let keeper = tokio::spawn(keep(address, listener, server, seen));
        Ok(Gate { address, way, keeper })
    }

    /// How it is now.
    pub fn way(&self) -> Way {
        *self.way.borrow()
    }

    /// Lets everything through.
    pub fn open(&self) {
        self.way.send_replace(Way::Open);
    }

    /// Refuses who comes and resets what is there.
    pub fn cut(&self) {
        self.way.send_replace(Way::Cut);
    }

    /// Takes connections and passes nothing.
    pub fn hang(&self) {
        self.way.send_replace(Way::Hanging);
    }

    /// Passes every piece this much later.
    pub fn delay(&self, by: Duration) {
        self.way.send_replace(Way::Slow(by));
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

async fn keep(address: SocketAddr, listener: TcpListener, server: SocketAddr, mut way: watch::Receiver<Way>) {
    let mut connections = JoinSet::new();
    let mut listener = Some(listener);
    loop {
        let now = *way.borrow_and_update();
        if now == Way::Cut {
            // Without a listener the kernel itself refuses; each connection sees the cut by itself.
            listener = None;
        } else if listener.is_none() {
            listener = TcpListener::bind(address).await.ok();
            if listener.is_none() {
                sleep(Duration::from_millis(20)).await;
                continue;
            }
        }
        let come = async {
            match &listener {
                Some(listener) => listener.accept().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            Ok((client, _)) = come => {
                connections.spawn(pass(client, server, way.clone()));
            }
            changed = way.changed() => {
                if changed.is_err() {
                    return;
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// One connection, from its beginning to its end.
async fn pass(client: TcpStream, server: SocketAddr, mut way: watch::Receiver<Way>) {
    let begun = async {
        passable(&mut way).await?;
        TcpStream::connect(server).await
    };
    let Ok(server) = begun.await else {
        // A client whose server cannot be reached learns it at once, as it would without a door.
        let _ = client.set_zero_linger();
        return;
    };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (client_says, client_hears) = client.into_split();
    let (server_says, server_hears) = server.into_split();
    tokio::join!(carry(client_says, server_hears, way.clone()), carry(server_says, client_hears, way));
}

/// Carries one direction until it ends or is cut.
async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut way: watch::Receiver<Way>) {
    let mut buffer = vec![0; 64 * 1024];
    let carried: io::Result<()> = async {
        loop {
            let length = tokio::select! {
                read = from.read(&mut buffer) => read?,
                error = cut(way.clone()) => return Err(error),
            };
            passable(&mut way).await?;
            if length == 0 {
                return to.shutdown().await;
            }
            let delay = match *way.borrow() {
                Way::Slow(by) => by,
                _ => Duration::ZERO,
            };
            if !delay.is_zero() {
                sleep(delay).await;
            }
            tokio::select! {
                written = to.write_all(&buffer[..length]) => written?,
                error = cut(way.clone()) => return Err(error),
            }
        }
    }
    .await;
    if carried.is_err() {
        // Whatever ended it, both ends are told by a reset; the other direction ends with its socket.
        let _ = (from.as_ref().set_zero_linger(), to.as_ref().set_zero_linger());
        let _ = to.shutdown().await;
    }
}

/// Returns once something may go through, or with an error once it is cut.
async fn passable(way: &mut watch::Receiver<Way>) -> io::Result<()> {
    let now = way.wait_for(|way| *way != Way::Hanging).await;
    match now.map(|way| *way) {
        Ok(Way::Open | Way::Slow(_)) => Ok(()),
        _ => Err(io::ErrorKind::ConnectionReset.into()),
    }
}

/// Returns once it is cut.
async fn cut(mut way: watch::Receiver<Way>) -> io::Error {
    let _ = way.wait_for(|way| *way == Way::Cut).await;
    io::ErrorKind::ConnectionReset.into()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use tokio::time::timeout;

    use super::*;

    /// Says back what it hears.
    async fn echo() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut from, mut to) = stream.split();
                    let _ = tokio::io::copy(&mut from, &mut to).await;
                });
            }
        });
        address
    }

    async fn say(stream: &mut TcpStream) -> io::Result<()> {
        stream.write_all(b"hello").await?;
        stream.read_exact(&mut [0; 5]).await.map(drop)
    }

    #[tokio::test]
    async fn a_door_that_hangs_keeps_what_waits_and_one_that_is_cut_resets_it() {
        let gate = Gate::to(echo().await).await.unwrap();
        let mut stream = TcpStream::connect(gate.address).await.unwrap();
        say(&mut stream).await.unwrap();

        gate.hang();
        let mut late = TcpStream::connect(gate.address).await.unwrap();
        assert!(timeout(Duration::from_millis(100), say(&mut stream)).await.is_err());
        assert!(timeout(Duration::from_millis(100), say(&mut late)).await.is_err());
        gate.open();
        stream.read_exact(&mut [0; 5]).await.unwrap();
        late.read_exact(&mut [0; 5]).await.unwrap();

        gate.cut();
        assert!(stream.read_exact(&mut [0; 1]).await.is_err());
        while TcpStream::connect(gate.address).await.is_ok() {
            sleep(Duration::from_millis(1)).await;
        }
        gate.open();
        let mut again = loop {
            match TcpStream::connect(gate.address).await {
                Ok(stream) => break stream,
                Err(_) => sleep(Duration::from_millis(1)).await,
            }
        };
        say(&mut again).await.unwrap();
    }
}
