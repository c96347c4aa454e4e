//! Measures the queue on RabbitMQ beside a bare confirm loop of the client library, in turns, in one process:
//! `confirms URL MESSAGES SENDERS`. Prints messages a second and CPU of this process a message; the broker's is not in it.
#![expect(clippy::print_stdout, reason = "it prints its figures")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties};
use pipecast_fabric::Queue;
use pipecast_fabric::queue::rabbitmq::{RabbitmqOptions, RabbitmqQueue};
use pipecast_model::Lane;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// About a GitHub `workflow_run`.
const BODY: usize = 10_000;
const BARE: &str = "bare.confirms";
const ROUNDS: usize = 3;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let url = arguments.next().unwrap_or_else(|| "amqp://127.0.0.1:5672/%2f".to_owned());
    let messages: usize = arguments.next().unwrap_or_else(|| "5000".to_owned()).parse()?;
    let senders: usize = arguments.next().unwrap_or_else(|| "64".to_owned()).parse()?;
    let body = Bytes::from(vec![b'x'; BODY]);

    let connection = Connection::connect(&url, ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    let mut quorum = FieldTable::default();
    quorum.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
    channel.queue_declare(BARE.into(), QueueDeclareOptions::durable(), quorum).await?;
    let queue = Arc::new(RabbitmqQueue::open(options(url)).await?);

    let (mut bare, mut ours) = (Duration::ZERO, Duration::ZERO);
    for _ in 0..ROUNDS {
        bare += measure("bare lapin", messages, senders, {
            let (channel, body) = (channel.clone(), body.clone());
            move || publish(channel.clone(), body.clone())
        })
        .await?;
        ours += measure("pipecast", messages, senders, {
            let (queue, body) = (Arc::clone(&queue), body.clone());
            move || {
                let (queue, body) = (Arc::clone(&queue), body.clone());
                async move { queue.send(Lane::Urgent, body).await.is_ok() }
            }
        })
        .await?;
    }
    println!("CPU of pipecast / CPU of bare lapin: {:.2}", ours.as_secs_f64() / bare.as_secs_f64());

    queue.close().await;
    channel.queue_delete(BARE.into(), QueueDeleteOptions::default()).await?;
    for name in ["urgent", "bulk", "urgent.soon", "bulk.soon", "urgent.later", "bulk.later", "quarantine", "dead"] {
        channel.queue_delete(format!("measure.v1.{name}").into(), QueueDeleteOptions::default()).await?;
    }
    Ok(())
}

fn options(url: String) -> RabbitmqOptions {
    RabbitmqOptions {
        url,
        ca: None,
        prefix: "measure".to_owned(),
        max_messages: u64::MAX / 2,
        max_message_bytes: 25 << 20,
        max_failures: 10,
        max_crashes: 5,
        retry_base: Duration::from_secs(1),
        retry_cap: Duration::from_secs(60),
        prefetch: 128,
        confirm_timeout: Duration::from_secs(10),
        connect_timeout: Duration::from_secs(5),
    }
}

async fn publish(channel: Channel, body: Bytes) -> bool {
    let options = BasicPublishOptions {
        mandatory: true,
        ..BasicPublishOptions::default()
    };
    let properties = BasicProperties::default().with_delivery_mode(2);
    match channel.basic_publish("".into(), BARE.into(), options, &body, properties).await {
        Ok(confirm) => matches!(confirm.await, Ok(Confirmation::Ack(None))),
        Err(_) => false,
    }
}

/// Sends so many, so many at once; returns the CPU that it took.
async fn measure<F, S>(name: &str, messages: usize, senders: usize, send: F) -> Result<Duration, Box<dyn std::error::Error>>
where
    F: Fn() -> S + Clone + Send + 'static,
    S: Future<Output = bool> + Send,
{
    let left = Arc::new(AtomicUsize::new(messages));
    let (begun, used) = (Instant::now(), cpu()?);
    let mut tasks = JoinSet::new();
    for _ in 0..senders {
        let (left, send) = (Arc::clone(&left), send.clone());
        tasks.spawn(async move {
            let mut stored = 0_usize;
            while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok() {
                stored += usize::from(send().await);
            }
            stored
        });
    }
    let stored: usize = tasks.join_all().await.into_iter().sum();
    let (elapsed, used) = (begun.elapsed(), cpu()?.saturating_sub(used));
    println!(
        "{name:>10}: {stored} of {messages} confirmed, {:.0} a second, {:.0} µs CPU each",
        stored as f64 / elapsed.as_secs_f64(),
        used.as_secs_f64() * 1e6 / stored.max(1) as f64,
    );
    Ok(used)
}

/// What this process has used so far, in user and in kernel, as Linux counts it.
fn cpu() -> Result<Duration, Box<dyn std::error::Error>> {
    let mut nanoseconds = 0;
    for thread in std::fs::read_dir("/proc/self/task")? {
        let times = std::fs::read_to_string(thread?.path().join("schedstat"))?;
        nanoseconds += times.split_whitespace().next().unwrap_or("0").parse::<u64>()?;
    }
    Ok(Duration::from_nanos(nanoseconds))
}
