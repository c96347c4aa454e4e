//! Many plain sockets on pipelines that do as the documentation tells browsers: each keeps its cursor, comes back when it was told to,
//! and notes everything that a watcher must never see.
//! Knows nothing of why it was sent away.

use std::collections::{HashMap, HashSet};
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use pipecast::simulate::chance::Chance;
use serde::Deserialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::load::Book;

/// The service pings after 25 s of silence and so must be heard within that and a little more.
const SILENCE: Duration = Duration::from_secs(40);
/// The longest back-off after a socket that broke without a word.
const LONGEST_BACK_OFF: f64 = 20.0;

/// The sockets, as long as this lives.
pub struct Crowd {
    /// Each of them.
    pub members: Vec<Arc<Member>>,
    /// What all of them saw.
    pub shared: Arc<Shared>,
    _tasks: JoinSet<()>,
}

/// What all sockets note together.
#[derive(Debug, Default)]
pub struct Shared {
    /// Changes that came, however often each.
    pub frames: AtomicU64,
    /// Every change that some socket was told, by pipeline and sequence.
    told: Mutex<HashSet<(i64, i64)>>,
    /// When a change was shown, and how long before that it was sent.
    delays: Mutex<Vec<(Instant, Duration)>>,
}

/// One socket.
#[derive(Debug)]
pub struct Member {
    /// Our id of its pipeline.
    pub pipeline: i64,
    /// Where it connects.
    pub address: SocketAddr,
    /// The newest sequence that it has shown; -1 before the first.
    pub seq: AtomicI64,
    seen: Mutex<Seen>,
}

/// What one socket noted.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Handshakes that were answered with a socket.
    pub connects: u64,
    /// Handshakes that were not.
    pub refused: u64,
    /// Ends that announced when to come back.
    pub sent_away: u64,
    /// Ends that announced nothing.
    pub broken: u64,
    /// States that came with a lower sequence than one before.
    pub fallen: u64,
    /// What lay between a state and a change after it that came with a later sequence than the next: pipeline and sequence.
    pub jumped: Vec<(i64, i64)>,
    /// When it was back, after each time that it was gone.
    pub returns: Vec<Instant>,
    cursor: Option<String>,
}

#[derive(Deserialize)]
struct Frame {
    r#type: String,
    status: String,
    seq: Option<i64>,
    id: Option<String>,
    data: Option<Data>,
}

#[derive(Deserialize)]
struct Data {
    last_execution: Option<Execution>,
}

#[derive(Deserialize)]
struct Execution {
    external_id: String,
}

/// Why a connection ended.
enum End {
    /// It was told to come back after so long.
    SentAway(Duration),
    Broken,
}

impl Crowd {
    /// Opens `count` sockets, in turn on the pipelines and on the addresses, and returns once each has had its first state.
    ///
    /// # Errors
    /// Where one of them has none after two minutes.
    pub async fn gather(addresses: &[SocketAddr], pipelines: &[i64], count: usize, book: &Arc<Book>) -> anyhow::Result<Crowd> {
        let (shared, mut tasks, mut members) = (Arc::<Shared>::default(), JoinSet::new(), Vec::with_capacity(count));
        for number in 0..count {
            let member = Arc::new(Member {
                pipeline: pipelines[number / addresses.len() % pipelines.len()],
                address: addresses[number % addresses.len()],
                seq: AtomicI64::new(-1),
                seen: Mutex::default(),
            });
            tasks.spawn(Arc::clone(&member).stay(Arc::clone(&shared), Arc::clone(book), Chance::new(number as u64)));
            members.push(member);
            // A door that counts handshakes is not to be stormed.
            if number % 50 == 49 {
                sleep(Duration::from_millis(50)).await;
            }
        }
        let deadline = Instant::now() + Duration::from_secs(120);
        while let Some(waiting) = members.iter().find(|member| member.seq.load(Ordering::Relaxed) < 0) {
            anyhow::ensure!(Instant::now() < deadline, "a socket on pipeline {} has no state yet", waiting.pipeline);
            sleep(Duration::from_millis(20)).await;
        }
        Ok(Crowd {
            members,
            shared,
            _tasks: tasks,
        })
    }

    /// What each of them noted so far, summed up.
    pub fn sum(&self) -> Seen {
        let mut sum = Seen::default();
        for member in &self.members {
            let seen = member.seen();
            sum.connects += seen.connects;
            sum.refused += seen.refused;
            sum.sent_away += seen.sent_away;
            sum.broken += seen.broken;
            sum.fallen += seen.fallen;
            sum.jumped.extend(&seen.jumped);
            sum.returns.extend(&seen.returns);
        }
        sum
    }

    /// How many have not shown what `truth` says of their pipelines.
    pub fn behind(&self, truth: &HashMap<i64, i64>) -> usize {
        let is_behind = |member: &&Arc<Member>| member.seq.load(Ordering::Relaxed) < truth.get(&member.pipeline).copied().unwrap_or_default();
        self.members.iter().filter(is_behind).count()
    }

    /// How long it took until all of them had; none where some still have not after `patience`.
    pub async fn caught_up(&self, truth: &HashMap<i64, i64>, patience: Duration) -> Option<Duration> {
        let begun = Instant::now();
        while self.behind(truth) > 0 {
            if begun.elapsed() > patience {
                return None;
            }
            sleep(Duration::from_millis(5)).await;
        }
        Some(begun.elapsed())
    }

    /// How many changes a socket was not told that another one was. Two changes that met on their way are one for everybody.
    pub fn missed(&self) -> usize {
        let told = self.shared.told.lock().expect("nobody panics while holding it");
        self.sum().jumped.iter().filter(|change| told.contains(*change)).count()
    }

    /// From sending to showing, of all changes that were shown between the two.
    pub fn delays(&self, from: Instant, to: Instant) -> Vec<Duration> {
        let delays = self.shared.delays.lock().expect("nobody panics while holding it");
        delays.iter().filter(|(at, _)| (from..to).contains(at)).map(|(_, delay)| *delay).collect()
    }
}

impl Member {
    /// Never returns.
    async fn stay(self: Arc<Self>, shared: Arc<Shared>, book: Arc<Book>, mut chance: Chance) {
        let mut tries = 0_i32;
        loop {
            let connects = self.seen().connects;
            let end = self.stay_once(&shared, &book).await.unwrap_or(End::Broken);
            if self.seen().connects > connects {
                tries = 0;
            }
            let wait = match end {
                End::SentAway(wait) => {
                    self.seen().sent_away += 1;
                    wait
                }
                End::Broken => {
                    let longest = (0.5 * 2_f64.powi(tries)).min(LONGEST_BACK_OFF);
                    tries += 1;
                    Duration::from_secs_f64(chance.between(0.0, longest))
                }
            };
            sleep(wait).await;
        }
    }

    async fn stay_once(&self, shared: &Shared, book: &Book) -> io::Result<End> {
        let opened = self.open().await;
        let (mut stream, mut received) = match opened {
            Ok(open) => open,
            Err(error) => {
                self.seen().refused += 1;
                return Err(error);
            }
        };
        {
            let mut seen = self.seen();
            seen.connects += 1;
            if seen.connects > 1 {
                seen.returns.push(Instant::now());
            }
        }
        loop {
            while let Some((first, payload)) = take_frame(&mut received) {
                match first {
                    0x81 => self.note(serde_json::from_slice(&payload)?, shared, book),
                    // A pong with the mask of zeros, which leaves the payload as it is.
                    0x89 => {
                        let pong = [&[0x8A, 0x80 | payload.len() as u8, 0, 0, 0, 0], &payload[..]].concat();
                        stream.write_all(&pong).await?;
                    }
                    0x88 => return Ok(self.leave(&payload)),
                    _ => return Err(io::ErrorKind::InvalidData.into()),
                }
            }
            if read(&mut stream, &mut received).await.is_err() {
                self.seen().broken += 1;
                return Ok(End::Broken);
            }
        }
    }

    async fn open(&self) -> io::Result<(TcpStream, Vec<u8>)> {
        let mut stream = TcpStream::connect(self.address).await?;
        let since = self.seen().cursor.as_ref().map(|cursor| format!("?since={cursor}")).unwrap_or_default();
        let request = format!(
            "GET /ws/pipeline/{}{since} HTTP/1.1\r\nhost: {}\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: x3JJHMbDL1EzLkh9GBhXDw==\r\n\r\n",
            self.pipeline, self.address
        );
        stream.write_all(request.as_bytes()).await?;
        let mut received = Vec::new();
        loop {
            read(&mut stream, &mut received).await?;
            if let Some(end) = received.windows(4).position(|four| four == b"\r\n\r\n") {
                let is_open = received.starts_with(b"HTTP/1.1 101");
                received.drain(..end + 4);
                return if is_open {
                    Ok((stream, received))
                } else {
                    Err(io::ErrorKind::ConnectionRefused.into())
                };
            }
        }
    }

    fn leave(&self, payload: &[u8]) -> End {
        let reason = payload.get(2..).and_then(|reason| std::str::from_utf8(reason).ok()).unwrap_or_default();
        match reason.split_once("retry_ms=").and_then(|(_, after)| after.parse().ok()) {
            Some(after) => End::SentAway(Duration::from_millis(after)),
            None => {
                self.seen().broken += 1;
                End::Broken
            }
        }
    }

    fn note(&self, frame: Frame, shared: &Shared, book: &Book) {
        let Some(seq) = frame.seq else { return };
        let last = self.seq.swap(seq, Ordering::Relaxed);
        let mut seen = self.seen();
        seen.fallen += u64::from(seq < last);
        if frame.r#type == "status_change" {
            // What a snapshot jumps over, it covers.
            if last >= 0 {
                seen.jumped.extend((last + 1..seq).map(|between| (self.pipeline, between)));
            }
            shared.told.lock().expect("nobody panics while holding it").insert((self.pipeline, seq));
            shared.frames.fetch_add(1, Ordering::Relaxed);
            let run = frame.data.and_then(|data| data.last_execution?.external_id.parse().ok());
            if let Some(delay) = run.and_then(|run| book.age(run, &frame.status)) {
                let mut delays = shared.delays.lock().expect("nobody panics while holding it");
                delays.push((Instant::now(), delay));
            }
        }
        if frame.id.is_some() {
            seen.cursor = frame.id;
        }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().expect("nobody panics while holding it")
    }
}

async fn read(stream: &mut TcpStream, received: &mut Vec<u8>) -> io::Result<()> {
    match timeout(SILENCE, stream.read_buf(received)).await.map_err(|_| io::ErrorKind::TimedOut)?? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    }
}

/// The first whole frame: its first byte and its payload.
pub fn take_frame(received: &mut Vec<u8>) -> Option<(u8, Vec<u8>)> {
    let first = *received.first()?;
    let (length, header) = match *received.get(1)? {
        126 => (usize::from(u16::from_be_bytes(received.get(2..4)?.try_into().ok()?)), 4),
        127 => (usize::try_from(u64::from_be_bytes(received.get(2..10)?.try_into().ok()?)).ok()?, 10),
        short => (usize::from(short), 2),
    };
    let payload = received.get(header..header + length)?.to_vec();
    received.drain(..header + length);
    Some((first, payload))
}
