//! What every bus must keep. Knows nothing of a backend.

use bytes::Bytes;
use pipecast_fabric::{Bus, BusEvent};
use pipecast_model::{ExecutionId, PipelineId, Topic};

use crate::soon;

const ONE: Topic = Topic::Pipeline(PipelineId(1));
const OTHER: Topic = Topic::Execution(ExecutionId(1));

pub(crate) async fn each_topic_is_heard_in_order(bus: &dyn Bus) {
    let tap = bus.tap().await.unwrap();
    tap.subscribe(ONE).await.unwrap();
    tap.subscribe(ONE).await.unwrap();
    tap.subscribe(OTHER).await.unwrap();

    for number in 0..500 {
        bus.publish(ONE, Bytes::from(number.to_string())).await.unwrap();
        bus.publish(OTHER, Bytes::from(number.to_string())).await.unwrap();
    }

    let mut next = [0, 0];
    while next != [500, 500] {
        match soon("a message", tap.next()).await {
            Some(BusEvent::Message { topic, message }) => {
                let count = &mut next[usize::from(topic == OTHER)];
                assert_eq!(message, count.to_string());
                *count += 1;
            }
            other => panic!("{other:?}"),
        }
    }
}

pub(crate) async fn only_what_is_subscribed_is_heard(bus: &dyn Bus) {
    let tap = bus.tap().await.unwrap();
    tap.subscribe(ONE).await.unwrap();
    tap.subscribe(OTHER).await.unwrap();
    tap.unsubscribe(ONE).await.unwrap();
    bus.publish(ONE, Bytes::from_static(b"not heard")).await.unwrap();
    bus.publish(Topic::Monitor, Bytes::from_static(b"not heard")).await.unwrap();
    bus.publish(OTHER, Bytes::from_static(b"heard")).await.unwrap();

    match soon("a message", tap.next()).await {
        Some(BusEvent::Message { topic, message }) => assert_eq!((topic, &message[..]), (OTHER, &b"heard"[..])),
        other => panic!("{other:?}"),
    }
}

/// Published until the tap must have lost some: it hears `Lost`, and afterwards whatever is published then.
pub(crate) async fn a_tap_that_falls_behind_is_told(bus: &dyn Bus) {
    let tap = bus.tap().await.unwrap();
    tap.subscribe(ONE).await.unwrap();
    for number in 0..10_000 {
        bus.publish(ONE, Bytes::from(number.to_string())).await.unwrap();
    }

    while !matches!(soon("the loss", tap.next()).await, Some(BusEvent::Lost)) {}

    bus.publish(ONE, Bytes::from_static(b"after")).await.unwrap();
    loop {
        match soon("a message after the loss", tap.next()).await {
            Some(BusEvent::Message { message, .. }) if message == "after" => break,
            Some(_) => {}
            None => panic!("the bus closed"),
        }
    }
}
