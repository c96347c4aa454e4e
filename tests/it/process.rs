//! The binary as a process: how it ends, and what a hostile peer costs it.

use std::time::{Duration, Instant};

use crate::binary::Process;
use crate::live::run;
use crate::socket::{Frame, Socket, Stream};

/// Sockets of the larger tests. Each end needs a file descriptor, and both ends are on this machine.
const SOCKETS: usize = 1_000;

/// Sockets that declare 16 GiB at the same time. What the process allocates once, for all of them, is shared by so many.
const HOSTILE: u64 = 16;

#[tokio::test]
async fn a_frame_header_that_declares_16_gib_costs_less_than_a_mebibyte() {
    let process = Process::start(&[]);
    for v1 in [false, true] {
        let mut sockets = Vec::new();
        for _ in 0..HOSTILE {
            let mut socket = if v1 {
                Socket::v1(process.address, "/ws").await
            } else {
                Socket::plain(process.address, "/ws/pipeline/1").await
            };
            socket.json().await;
            sockets.push(socket);
        }
        process.forget_peak();
        let before = process.peak_kib();

        let floods = sockets.into_iter().map(|mut socket| {
            tokio::spawn(async move {
                let header = [&[0x82, 0xFF][..], &(16u64 << 30).to_be_bytes(), &[0; 4]].concat();
                socket.raw(&header).await.expect("sent");
                let flood = vec![7; 1 << 20];
                for _ in 0..64 {
                    if socket.raw(&flood).await.is_err() {
                        break;
                    }
                }
            })
        });
        for flood in floods.collect::<Vec<_>>() {
            flood.await.unwrap();
        }

        let cost = process.peak_kib().saturating_sub(before) / HOSTILE;
        assert!(cost < 1024, "v1 {v1}: {cost} KiB each");
    }
}

#[tokio::test]
async fn a_termination_tells_a_thousand_sockets_to_come_back_and_ends_within_the_window() {
    let mut process = Process::start(&[("PIPECAST_LIVE__DRAIN_WINDOW", "3s")]);
    let mut sockets = Vec::with_capacity(SOCKETS);
    for number in 0..SOCKETS {
        let path = ["/ws/monitor", "/ws/pipeline/1", "/ws/execution/1"][number % 3];
        let mut socket = if number % 2 == 0 {
            Socket::plain(process.address, path).await
        } else {
            Socket::v1(process.address, path).await
        };
        socket.json_of("snapshot").await;
        sockets.push(socket);
    }
    let mut stream = Stream::open(process.address, "/sse/monitor").await;
    stream.next().await.expect("a snapshot");

    process.signal("-TERM");
    let begun = Instant::now();
    let farewells = sockets
        .into_iter()
        .map(|mut socket| tokio::spawn(async move { (socket.close_frame().await, begun.elapsed()) }));
    let mut moments = Vec::new();
    for farewell in farewells.collect::<Vec<_>>() {
        let ((code, reason), moment) = farewell.await.unwrap();
        assert_eq!(code, 1012);
        let wait: u64 = reason.strip_prefix("restart;retry_ms=").expect(&reason).parse().unwrap();
        assert!(wait <= 3_000, "{wait}");
        moments.push(moment);
    }
    assert!(stream.next().await.is_none());

    let (_, good) = process.ended(Duration::from_secs(6));
    assert!(good);
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    let spread = *moments.iter().max().unwrap() - *moments.iter().min().unwrap();
    assert!(spread > Duration::from_secs(1), "everyone left at once: {spread:?}");
}

#[tokio::test]
async fn without_watchers_an_interrupt_ends_it_within_a_second() {
    let mut process = Process::start(&[]);
    process.deliver(&run(1001, "in_progress", None, 1)).await;

    process.signal("-INT");
    let (took, good) = process.ended(Duration::from_secs(10));

    assert!(good);
    assert!(took < Duration::from_secs(1), "{took:?}");
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    let mut process = Process::start(&[("PIPECAST_LIVE__DRAIN_WINDOW", "30s")]);
    let mut socket = Socket::plain(process.address, "/ws/monitor").await;
    socket.json().await;
    let _others: Vec<_> = futures_util::future::join_all((0..20).map(|_| Socket::plain(process.address, "/ws/monitor"))).await;

    process.signal("-TERM");
    // The first farewell shows that the first signal was heard.
    while !matches!(socket.next().await, Frame::Close(..) | Frame::Gone) {}
    process.signal("-TERM");

    process.ended(Duration::from_secs(5));
}

#[tokio::test]
async fn what_was_acknowledged_before_a_kill_shows_after_it() {
    let data = tempfile::tempdir().unwrap();
    let directory = data.path().to_str().unwrap().to_owned();
    let mut process = Process::start(&[("PIPECAST_DATA_DIR", &directory)]);
    process.deliver(&run(1001, "in_progress", None, 1)).await;
    process.deliver(&run(1001, "completed", Some("failure"), 9)).await;

    process.signal("-KILL");
    process.ended(Duration::from_secs(5));
    let process = Process::start(&[("PIPECAST_DATA_DIR", &directory)]);

    process.until_status("failure").await;
}
