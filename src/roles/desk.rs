//! What the admin's routes work with, opened together.
//! Knows nothing of what they do with it.

use std::sync::Arc;

use actix_web::web::{Data, ServiceConfig};
use pipecast_admin::accounts::Accounts;
use pipecast_admin::api::{Endpoints, Primary};
use pipecast_admin::keeping::Keeping;
use pipecast_admin::policies::Policies;
use pipecast_admin::settings::Settings;
use pipecast_admin::sources::Sources;
use pipecast_admin::targets::Targets;
use pipecast_fabric::Queue;
use pipecast_http::ProofAge;
use pipecast_store::sealed::Keys;
use pipecast_store::{Reader, Writer};

use super::parts;
use crate::config::Config;

/// One for a process; each thread of its server has a copy.
#[derive(Clone)]
pub(super) struct Desk {
    accounts: Data<Accounts>,
    proof_age: Data<ProofAge>,
    sources: Data<Sources>,
    keeping: Data<Keeping>,
    policies: Data<Policies>,
    targets: Data<Targets>,
    settings: Data<Settings>,
    writer: Data<Writer>,
    reader: Data<Primary>,
    queue: Data<dyn Queue>,
    keys: Data<Keys>,
    endpoints: Data<Endpoints>,
}

impl Desk {
    /// Opens it. `base` is the configuration before anybody changed a setting.
    pub(super) fn open(base: &Config, accounts: Arc<Accounts>, reader: &Reader, writer: &Arc<Writer>, queue: &Arc<dyn Queue>, keys: &Arc<Keys>) -> Desk {
        let sources = Sources::new(reader.clone(), Arc::clone(writer), Arc::clone(keys), base.server.public_url.clone());
        Desk {
            accounts: Data::from(accounts),
            proof_age: Data::new(ProofAge(base.auth.confirmed_for)),
            sources: Data::new(sources),
            keeping: Data::new(Keeping::new(reader.clone(), Arc::clone(writer))),
            policies: Data::new(Policies::new(reader.clone(), Arc::clone(writer))),
            targets: Data::new(Targets::new(reader.clone(), Arc::clone(writer), Arc::clone(keys))),
            settings: Data::new(parts::settings(base, reader, writer)),
            writer: Data::from(Arc::clone(writer)),
            reader: Data::new(Primary(reader.clone())),
            queue: Data::from(Arc::clone(queue)),
            keys: Data::from(Arc::clone(keys)),
            endpoints: Data::new(Endpoints::of(&crate::openapi::document())),
        }
    }

    /// Mounts the admin's routes with all that they need.
    pub(super) fn mount(&self, app: &mut ServiceConfig) {
        app.app_data(self.accounts.clone())
            .app_data(self.proof_age.clone())
            .app_data(self.sources.clone())
            .app_data(self.keeping.clone())
            .app_data(self.policies.clone())
            .app_data(self.targets.clone())
            .app_data(self.settings.clone())
            .app_data(self.writer.clone())
            .app_data(self.reader.clone())
            .app_data(self.queue.clone())
            .app_data(self.keys.clone())
            .app_data(self.endpoints.clone());
        pipecast_admin::api::routes(&mut utoipa_actix_web::service_config::ServiceConfig::new(app));
    }
}
