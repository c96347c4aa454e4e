//! Tickets for sockets: issued by the admin, good once, at whichever edge comes first.

use futures_util::future::join_all;
use pipecast_prove::process::Process;
use serde_json::json;

use crate::house::{House, on_the_house, post};
use crate::socket::{Frame, Socket};

/// Races between the edges, each for a ticket of its own.
const RACES: usize = 8;

async fn ticket(house: &House) -> String {
    house.done(post("/api/ws-tickets", &json!({}))).await["ticket"].as_str().unwrap().to_owned()
}

/// Whether it opens a socket there; else it is refused as no good.
async fn opens(edge: &Process, ticket: &str) -> bool {
    let path = format!("/ws/pipeline/1?ticket={ticket}");
    let mut socket = Socket::open(edge.address(), &path, &[]).await.unwrap();
    match socket.next().await {
        Frame::Text(snapshot) => snapshot["type"] == "snapshot",
        Frame::Close(4501, _) => false,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_ticket_opens_one_socket_at_any_edge_and_not_one_at_each_at_the_same_moment() {
    on_the_house(async |house| {
        let edges = &house.topology.edges;
        for (number, edge) in edges.iter().enumerate() {
            let ticket = ticket(house).await;
            assert!(opens(edge, &ticket).await, "{}", edge.name());
            assert!(!opens(&edges[1 - number], &ticket).await, "it was used at {}", edge.name());
        }

        for _ in 0..RACES {
            let ticket = ticket(house).await;
            let opened = join_all(edges.iter().chain(edges).map(|edge| opens(edge, &ticket))).await;
            assert_eq!(opened.iter().filter(|opened| **opened).count(), 1, "{opened:?}");
        }
    });
}
