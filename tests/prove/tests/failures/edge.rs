//! An edge dies, before and after a delivery is safe.

use std::time::{Duration, Instant};

use pipecast::roles::Role;
use pipecast_prove::gate::Gate;
use pipecast_prove::ports;
use pipecast_prove::process::{Process, Readiness, Recipe};
use pipecast_prove::server::postgres::Postgres;
use pipecast_prove::server::rabbitmq::RabbitMq;
use pipecast_prove::server::redis::Redis;
use pipecast_prove::topology::{Topology, own_binary};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::house::{PATIENCE, Project, count, on_the_house, shows, status};
use crate::socket::{Frame, Socket};

#[test]
fn an_edge_that_is_killed_before_the_hand_off_resets_its_sender_and_its_watchers_go_on_elsewhere() {
    on_the_house(async |house| {
        let project = Project::fresh();
        let [first, second] = &house.edges[..] else { unreachable!("there are two") };
        project.run(1, "in_progress", 1).accepted(house, second).await;
        let pipeline = project.pipeline(house).await;
        let mut socket = Socket::v1(first.address(), &format!("/ws/pipeline/{pipeline}")).await;
        let cursor = socket.json_of("snapshot").await["id"].as_str().unwrap().to_owned();
        let delivery = project.run(1, "completed", 9);
        let request = delivery.request(house);

        let mut stream = TcpStream::connect(first.address()).await.unwrap();
        stream.write_all(&request[..request.len() - 100]).await.unwrap();
        // The half that is there has been read once a later request has been answered.
        for _ in 0..8 {
            assert_eq!(status(first, pipeline).await.0, 200);
        }
        first.kill().await.unwrap();
        let killed = Instant::now();

        assert!(matches!(stream.read(&mut [0]).await, Ok(0) | Err(_)), "it has promised something");
        while socket.next().await != Frame::Gone {}
        assert_eq!(count(house, &format!("deliveries WHERE delivery_key = '{}'", delivery.key)).await, 0);
        let mut resumed = Socket::v1(second.address(), &format!("/ws/pipeline/{pipeline}?since={cursor}")).await;
        resumed.json_of("hello").await;
        assert_eq!(delivery.accepted(house, &house.proxy).await, "broker", "the host sends it again");
        let next = loop {
            match resumed.next().await {
                Frame::Text(frame) if frame["type"] == "snapshot" || frame["type"] == "status_change" => break frame,
                Frame::Gone => panic!("gone"),
                _ => {}
            }
        };
        assert_eq!((&next["type"], &next["status"]), (&"status_change".into(), &"success".into()), "without a gap");
        assert!(killed.elapsed() < Duration::from_secs(10), "{:?}", killed.elapsed());
        assert_eq!(
            count(house, &format!("deliveries WHERE delivery_key = '{}' AND repeats = 0", delivery.key)).await,
            1
        );
    });
}

/// One more edge, which waits long for the broker, behind a gate of its own.
async fn patient_edge(house: &Topology) -> (Process, Gate) {
    let gate = Gate::to(house.rabbitmq.process.address()).await.unwrap();
    let (address, data, binary) = (ports::free().unwrap(), house.folder.join("edge-patient"), own_binary().unwrap());
    std::fs::create_dir_all(&data).unwrap();
    let settings = [
        ("PIPECAST_DATA_DIR", data.display().to_string()),
        ("PIPECAST_KEYS__FILE", house.folder.join("keyring").display().to_string()),
        ("PIPECAST_SERVER__LISTEN", address.to_string()),
        ("PIPECAST_STORE__URL", Postgres::url_at(house.postgres.process.address())),
        ("PIPECAST_FABRIC__REDIS_URL", Redis::url_at(house.redis.process.address())),
        ("PIPECAST_FABRIC__AMQP_URL", RabbitMq::url_at(gate.address)),
        ("PIPECAST_FABRIC__SPOOL__PATIENCE", "20s".to_owned()),
        ("PIPECAST_FABRIC__RABBITMQ__CONFIRM_TIMEOUT", "20s".to_owned()),
        ("PIPECAST_WEBHOOKS__SEND_DEADLINE", "30s".to_owned()),
        ("PIPECAST_WEBHOOKS__GITHUB__SECRET", house.secrets.github.clone()),
    ];
    let edge = Process::new(Recipe {
        name: "edge-patient".to_owned(),
        address,
        folder: house.folder.clone(),
        command: Box::new(move || {
            let mut command = std::process::Command::new(&binary);
            command.args(["serve", "--role", Role::Realtime.word()]).envs(settings.clone());
            command
        }),
        readiness: Readiness::SaysSo,
        farewell: "TERM",
    });
    edge.start().unwrap();
    edge.ready().await.unwrap();
    (edge, gate)
}

#[test]
fn an_edge_that_is_killed_after_the_hand_off_has_its_delivery_once_however_often_it_comes_again() {
    on_the_house(async |house| {
        let project = Project::fresh();
        let (edge, gate) = patient_edge(house).await;
        assert_eq!(project.run(1, "in_progress", 1).accepted(house, &edge).await, "broker");
        let pipeline = project.pipeline(house).await;
        let delivery = project.run(1, "completed", 9);

        // The delivery goes there in a second, and the confirm would come back in another.
        gate.delay(Duration::from_secs(1));
        let sending = async {
            let answer = delivery.send(house, &edge).await;
            assert!(answer.is_err(), "it was answered: {answer:?}");
        };
        let killing = async {
            shows(&house.edges[0], pipeline, "success", PATIENCE).await;
            edge.kill().await.unwrap();
        };
        tokio::join!(sending, killing);
        let before = status(&house.edges[0], pipeline).await.1;
        for to in [&house.edges[0], &house.edges[1], &house.proxy] {
            delivery.accepted(house, to).await;
        }

        let key = &delivery.key;
        crate::house::until("each repeat is counted", PATIENCE, || async {
            count(house, &format!("deliveries WHERE delivery_key = '{key}' AND repeats = 3")).await == 1
        })
        .await;
        assert_eq!(count(house, &format!("deliveries WHERE delivery_key = '{key}'")).await, 1);
        for edge in &house.edges {
            let after = status(edge, pipeline).await.1;
            assert_eq!((&after["seq"], &after["status"]), (&before["seq"], &"success".into()));
        }
    });
}
