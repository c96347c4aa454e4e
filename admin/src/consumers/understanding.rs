//! Reads what a batch of deliveries tells, away from everybody else where that takes its time.
//! Knows nothing of the database.

use std::panic::{AssertUnwindSafe, catch_unwind};

use aws_lc_rs::digest;
use pipecast_model::{Delivery, Facts, Reading, Work, hexadecimal};
use tracing::error;

use super::Item;

/// Bodies that are understood without leaving the task; more of them would hold up everything else on its thread.
const UNDERSTOOD_IN_PLACE: usize = 256 << 10;

/// Adds what each delivery tells, and the hash of its body. Large bodies take their time, so they are read where nobody waits behind them.
pub(super) async fn understand(mut items: Vec<Item>, intake: fn(&Delivery) -> Facts) -> Vec<Item> {
    let bytes: usize = items
        .iter()
        .map(|item| if let Work::Delivery(delivery) = &item.work { delivery.body.len() } else { 0 })
        .sum();
    let understand = move || {
        for item in &mut items {
            if let Work::Delivery(delivery) = &mut item.work {
                if delivery.body_sha256.is_empty() {
                    delivery.body_sha256 = sha256(&delivery.body);
                }
                item.facts = understand_one(delivery, intake);
            }
        }
        items
    };
    if bytes <= UNDERSTOOD_IN_PLACE {
        return understand();
    }
    tokio::task::spawn_blocking(understand).await.expect("every panic inside is caught")
}

/// In lower-case hex.
fn sha256(body: &[u8]) -> String {
    hexadecimal::write(digest::digest(&digest::SHA256, body).as_ref())
}

/// Intake must not panic. Where it does after all, one delivery is unprocessable and everything else goes on.
fn understand_one(delivery: &Delivery, intake: fn(&Delivery) -> Facts) -> Facts {
    catch_unwind(AssertUnwindSafe(|| intake(delivery))).unwrap_or_else(|_| {
        error!(delivery.id = %delivery.id, "understanding the delivery {} panicked: a defect", delivery.id);
        Facts {
            reading: Reading::Unprocessable("a defect of pipecast: understanding it panicked".to_owned()),
            ..Facts::default()
        }
    })
}
