//! A client for the tests: the wire and the model alone, so that nothing above them hides what the server does.

#![allow(dead_code, reason = "each test program uses a part of it")]

#[allow(unreachable_pub, reason = "the helpers of one test program")]
pub mod machine;

use std::sync::Arc;

use vsphere_model::managed::{PropertyCollector, ServiceInstance};
use vsphere_model::types::{
    Any, ManagedObjectReference, ObjectSpec, PropertyFilterSpec, PropertySpec, RetrieveOptions, ServiceContent,
    TaskInfo,
};
use vsphere_sim::{Model, Sim};
use vsphere_soap::Result;
use vsphere_soap::http::{Endpoint, Transport, TransportOptions, Trust};
use vsphere_soap::object::{FromAny, Property};
use vsphere_soap::request::{Caller, ManagedObject, Request};
use vsphere_soap::session::Session;

/// A simulated server with a client that is logged in.
pub struct Lab {
    pub sim: Sim,
    pub caller: Arc<dyn Caller>,
    pub content: ServiceContent,
}

impl Lab {
    pub async fn new(model: Model) -> Self {
        let sim = Sim::start(model).await.unwrap();
        let (caller, content) = login(&sim, Model::USER, Model::PASSWORD).await.unwrap();
        Self { sim, caller, content }
    }

    /// The managed object with this reference.
    pub fn object<T: ManagedObject>(&self, reference: &ManagedObjectReference) -> T {
        T::new(&self.caller, reference.clone())
    }

    /// The value of a property.
    pub async fn get<T: ManagedObject, V: FromAny>(&self, object: &T, property: Property<T, V>) -> V {
        let value = self.read(object.handle().reference(), property.path()).await.unwrap();
        value.take().unwrap()
    }

    /// The value of a property path, whatever its type; unset where it has none.
    pub async fn read(&self, object: &ManagedObjectReference, path: &str) -> Result<Any> {
        let collector: PropertyCollector = self.object(&self.content.property_collector);
        let spec = PropertyFilterSpec {
            prop_set: vec![PropertySpec { type_: object.type_.clone(), all: None, path_set: vec![path.to_owned()] }],
            object_set: vec![ObjectSpec { obj: object.clone(), ..Default::default() }],
            ..Default::default()
        };
        let result = collector.retrieve_properties_ex(&[spec], &RetrieveOptions::default()).await?;
        let objects = result.map(|result| result.objects).unwrap_or_default();
        let value = objects.into_iter().flat_map(|object| object.prop_set).next().map(|property| property.val);
        Ok(value.unwrap_or_default())
    }

    /// Runs a task to its end. (The model's pace decides how long that is.)
    pub async fn task(&self, request: Request<ManagedObjectReference>) -> Result<TaskInfo> {
        let task = request.await?;
        loop {
            let info: TaskInfo = self.read(&task, "info").await?.take().unwrap();
            if info.complete_time.is_some() {
                return Ok(info);
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }

    /// The environment of `govc` for this server.
    pub fn govc_url(&self) -> String {
        let user = Model::USER.replace('@', "%40");
        self.sim.url().replace("://", &format!("://{user}:{}@", Model::PASSWORD.replace('!', "%21")))
    }
}

/// A client that is logged in, and what the server's service instance says.
pub async fn login(sim: &Sim, user: &str, password: &str) -> Result<(Arc<dyn Caller>, ServiceContent)> {
    let endpoint: Endpoint = sim.url().parse()?;
    let trust = Trust::Thumbprint(sim.thumbprint().unwrap());
    let transport = Transport::new(endpoint, TransportOptions::new().trust(trust))?;
    let session = Session::open(transport, vsphere_model::registry(), vsphere_model::VERSIONS).await?;
    let caller: Arc<dyn Caller> = Arc::new(session.clone());
    let instance = ServiceInstance::new(&caller, ManagedObjectReference::new("ServiceInstance", "ServiceInstance"));
    let content = instance.retrieve_service_content().await?;
    let manager = content.session_manager.clone().unwrap();
    session.login(&manager, user, password, None).await?;
    Ok((caller, content))
}
