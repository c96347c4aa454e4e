//! What has been heard of sources: when the last delivery came, and with which secret. Written now and then, not with each delivery.
//! Knows nothing of deliveries.

use pipecast_model::{Host, SecretId, Timestamp};

use crate::Result;
use crate::engine::on;
use crate::error::Attempt;
use crate::writer::Tx;

/// The last that was heard of a source, or of one of its secrets.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Heard {
    /// The host of the source.
    pub host: Host,
    /// The source in the path.
    pub source: String,
    /// The secret that matched, where it is one of the database.
    pub secret: Option<SecretId>,
    /// When.
    pub at: Timestamp,
}

impl Tx {
    /// Notes what was heard; what is known to be later stays. In one order, so that two who note do not wait for each other in a circle.
    pub async fn note_heard(&mut self, heard: &[Heard]) -> Result<()> {
        const SOURCE: &str = "
            UPDATE sources
            SET last_delivery_at = $3
            WHERE host = $1 AND key = $2 AND (last_delivery_at IS NULL OR last_delivery_at < $3)";
        const SECRET: &str = "UPDATE source_secrets SET last_matched_at = $2 WHERE id = $1 AND (last_matched_at IS NULL OR last_matched_at < $2)";
        let mut heard: Vec<&Heard> = heard.iter().collect();
        heard.sort();
        for Heard { host, source, at, .. } in &heard {
            on!(&mut self.on, |db| sqlx::query(SOURCE)
                .bind(host.word())
                .bind(source)
                .bind(at)
                .execute(&mut **db)
                .await
                .map(drop))
            .attempted("note the last delivery of a source")?;
        }
        heard.sort_by_key(|heard| heard.secret);
        for (secret, at) in heard.iter().filter_map(|heard| heard.secret.map(|secret| (secret, heard.at))) {
            on!(&mut self.on, |db| sqlx::query(SECRET).bind(secret).bind(at).execute(&mut **db).await.map(drop)).attempted("note which secret matched")?;
        }
        Ok(())
    }
}
