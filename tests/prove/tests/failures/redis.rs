//! Redis is away, comes back empty, or cannot be reached by one edge alone.

use std::time::{Duration, Instant};

use pipecast_prove::topology::{Server, Topology};

use crate::house::{PATIENCE, Project, get, on_the_house, status, until};
use crate::socket::Socket;

/// A change shows at every socket by then, also while Redis is away, and everything is healed by then after its return.
const BOUND: Duration = Duration::from_secs(5);
/// The same for an edge that Redis alone cannot be reached by: it may have to notice first.
const PARTED: Duration = Duration::from_secs(10);

struct Scene<'a> {
    house: &'a Topology,
    project: Project,
    pipeline: i64,
    /// One at each edge.
    sockets: Vec<Socket>,
    second: u32,
}

impl<'a> Scene<'a> {
    async fn set(house: &'a Topology) -> Scene<'a> {
        let project = Project::fresh();
        project.run(1, "in_progress", 1).accepted(house, &house.edges[0]).await;
        let pipeline = project.pipeline(house).await;
        let mut sockets = Vec::new();
        for edge in &house.edges {
            let mut socket = Socket::plain(edge.address(), &format!("/ws/pipeline/{pipeline}")).await;
            assert_eq!(socket.json_of("snapshot").await["status"], "running");
            sockets.push(socket);
        }
        Scene {
            house,
            project,
            pipeline,
            sockets,
            second: 1,
        }
    }

    /// A change, which shows at every socket and status endpoint; how long that took at most.
    async fn change(&mut self, bound: Duration) -> Duration {
        self.second += 1;
        let (told, word) = [("queued", "queued"), ("in_progress", "running")][self.second as usize % 2];
        // Each change is a run of its own, the newest of its pipeline.
        let delivery = self.project.run(i64::from(self.second), told, self.second);
        delivery.accepted(self.house, &self.house.edges[0]).await;
        let begun = Instant::now();
        for socket in &mut self.sockets {
            while socket.json_of("status_change").await["status"] != word {}
            assert!(begun.elapsed() < bound, "{:?}", begun.elapsed());
        }
        for edge in &self.house.edges {
            assert_eq!(status(edge, self.pipeline).await.1["status"], word, "{}", edge.name());
        }
        begun.elapsed()
    }
}

#[test]
fn while_redis_is_down_sockets_of_every_edge_stay_and_see_changes_within_five_seconds() {
    on_the_house(async |house| {
        let mut scene = Scene::set(house).await;
        house.redis.process.kill().await.unwrap();

        for _ in 0..3 {
            let took = scene.change(BOUND).await;
            println!("without Redis a change took {took:?}");
        }
        for edge in &house.edges {
            until("the edge says what is wrong and goes on", PATIENCE, || async {
                let report = get(edge.address(), "/health").await.1;
                report["status"] == "degraded" && report["dependencies"]["redis"]["state"] == "down"
            })
            .await;
            assert_eq!(get(edge.address(), "/health/ready").await.0, 200);
        }

        house.redis.process.start().unwrap();
        house.redis.process.ready().await.unwrap();

        scene.change(BOUND).await;
        // The bus is used again: faster than the database is looked at.
        until("changes come at once again", BOUND, || async {
            get(house.edges[0].address(), "/health").await.1["status"] == "ok"
        })
        .await;
        until_quick(&mut scene).await;
    });
}

/// Until a change is quicker than a look at the database, which is taken once a second, five times in a row.
async fn until_quick(scene: &mut Scene<'_>) {
    let begun = Instant::now();
    let mut quick = 0;
    while quick < 5 {
        quick = if scene.change(BOUND).await < Duration::from_millis(200) {
            quick + 1
        } else {
            0
        };
        assert!(begun.elapsed() < PATIENCE, "the bus is not used");
    }
}

#[test]
fn a_redis_that_comes_back_empty_shows_nothing_old_and_everything_within_five_seconds() {
    on_the_house(async |house| {
        let mut scene = Scene::set(house).await;
        scene.change(BOUND).await;
        let seq = status(&house.edges[0], scene.pipeline).await.1["seq"].as_i64().unwrap();
        house.redis.process.kill().await.unwrap();

        house.redis.start_empty().unwrap();
        house.redis.process.ready().await.unwrap();
        let back = Instant::now();
        while back.elapsed() < Duration::from_secs(2) {
            for edge in &house.edges {
                let now = status(edge, scene.pipeline).await.1;
                assert_eq!(now["seq"].as_i64(), Some(seq), "{now}");
                let mut fresh = Socket::plain(edge.address(), &format!("/ws/pipeline/{}", scene.pipeline)).await;
                assert_eq!(fresh.json_of("snapshot").await["seq"].as_i64(), Some(seq));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }

        scene.change(BOUND).await;
        until_quick(&mut scene).await;
    });
}

#[test]
fn an_edge_that_alone_cannot_reach_redis_sees_changes_within_ten_seconds() {
    on_the_house(async |house| {
        let mut scene = Scene::set(house).await;
        let gates: Vec<_> = house.gates(Some("edge-2"), Some(Server::Redis)).collect();
        assert_eq!(gates.len(), 1);

        for silent in [false, true] {
            if silent {
                gates[0].hang();
            } else {
                gates[0].cut();
            }
            for _ in 0..3 {
                let took = scene.change(PARTED).await;
                println!("parted from Redis (silently: {silent}) a change took {took:?}");
            }
            gates[0].open();
            scene.change(PARTED).await;
            until_quick(&mut scene).await;
        }
    });
}
