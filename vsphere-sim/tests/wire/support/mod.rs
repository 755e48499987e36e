//! A client for the tests: the wire and the model alone, so that nothing above them hides what the server does.

pub(crate) mod machine;
pub(crate) mod raw;

use std::sync::Arc;

use vsphere_model::managed::{PropertyCollector, SearchIndex, ServiceInstance, View, ViewManager};
use vsphere_model::types::{
    Any, ManagedObjectReference, ObjectSpec, PropertyFilterSpec, PropertySpec, RetrieveOptions, ServiceContent,
    TaskInfo, TaskInfoState,
};
use vsphere_sim::{Model, Sim};
use vsphere_soap::Result;
use vsphere_soap::http::{Endpoint, Transport, TransportOptions, Trust};
use vsphere_soap::object::{FromAny, Property};
use vsphere_soap::request::{Caller, ManagedObject, Request};
use vsphere_soap::session::Session;

/// A simulated server with a client that is logged in.
pub(crate) struct Lab {
    pub(crate) sim: Arc<Sim>,
    pub(crate) caller: Arc<dyn Caller>,
    pub(crate) content: ServiceContent,
}

impl Lab {
    pub(crate) async fn new(model: Model) -> Self {
        let sim = Arc::new(Sim::start(model).await.unwrap());
        let (caller, content) = login(&sim, Model::USER, Model::PASSWORD).await.unwrap();
        Self { sim, caller, content }
    }

    /// The managed object with this reference.
    pub(crate) fn object<T: ManagedObject>(&self, reference: &ManagedObjectReference) -> T {
        T::new(&self.caller, reference.clone())
    }

    /// The value of a property.
    pub(crate) async fn get<T: ManagedObject, V: FromAny>(&self, object: &T, property: Property<T, V>) -> V {
        let value = self.read(object.handle().reference(), property.path()).await.unwrap();
        value.take().unwrap()
    }

    /// The value of a property path, whatever its type; unset where it has none.
    pub(crate) async fn read(&self, object: &ManagedObjectReference, path: &str) -> Result<Any> {
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

    /// The object at an inventory path: `/DC0/datastore/DC0_DS0`.
    pub(crate) async fn at(&self, path: &str) -> ManagedObjectReference {
        let index: SearchIndex = self.object(self.content.search_index.as_ref().unwrap());
        index.find_by_inventory_path(path).await.unwrap().unwrap_or_else(|| panic!("there is nothing at {path}"))
    }

    /// Runs a task to its end and expects it to end in this fault.
    pub(crate) async fn task_fault(&self, request: Request<ManagedObjectReference>, fault: &str) {
        let info = self.task(request).await.unwrap();
        let error = info.error.unwrap_or_else(|| panic!("the task has not failed, {fault} was expected"));
        assert_eq!(error.fault.type_name(), fault, "{:?}", error.localized_message);
    }

    /// Runs a task that must succeed; its result.
    pub(crate) async fn run(&self, request: Request<ManagedObjectReference>) -> Any {
        let info = self.task(request).await.unwrap();
        assert_eq!(info.state, TaskInfoState::Success, "{:?}", info.error);
        info.result.unwrap_or_default()
    }

    /// Runs a task to its end. (The model's pace decides how long that is.)
    pub(crate) async fn task(&self, request: Request<ManagedObjectReference>) -> Result<TaskInfo> {
        let task = request.await?;
        loop {
            let info: TaskInfo = self.read(&task, "info").await?.take().unwrap();
            if info.complete_time.is_some() {
                return Ok(info);
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }

    /// The objects of a type in the inventory that this client sees.
    pub(crate) async fn all_of(&self, type_: &str) -> Vec<ManagedObjectReference> {
        let views: ViewManager = self.object(self.content.view_manager.as_ref().unwrap());
        let types = [type_.to_owned()];
        let view = views.create_container_view(&self.content.root_folder, &types, true).await.unwrap();
        let found = self.read(&view, "view").await.unwrap().take().unwrap();
        self.object::<View>(&view).destroy_view().await.unwrap();
        found
    }

    /// An object of each of these types.
    pub(crate) async fn some<const N: usize>(&self, types: [&str; N]) -> [ManagedObjectReference; N] {
        let mut found = [(); N].map(|()| ManagedObjectReference::default());
        for (place, type_) in found.iter_mut().zip(types) {
            *place = self.all_of(type_).await.into_iter().next().unwrap();
        }
        found
    }

    /// Another client of the same server.
    pub(crate) async fn another(&self, user: &str, password: &str) -> Result<Self> {
        let (caller, content) = login(&self.sim, user, password).await?;
        Ok(Self { sim: Arc::clone(&self.sim), caller, content })
    }

    /// The environment of `govc` for this server.
    pub(crate) fn govc_url(&self) -> String {
        let user = Model::USER.replace('@', "%40");
        self.sim.url().replace("://", &format!("://{user}:{}@", Model::PASSWORD.replace('!', "%21")))
    }
}

/// A client that is logged in, and what the server's service instance says.
pub(crate) async fn login(sim: &Sim, user: &str, password: &str) -> Result<(Arc<dyn Caller>, ServiceContent)> {
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

/// The name of the fault that a request ended in; empty where it did not fail.
pub(crate) async fn fault<T: FromAny + 'static>(request: Request<T>) -> String {
    let error = request.await.err();
    error.and_then(|error| error.fault()?.name().map(str::to_owned)).unwrap_or_default()
}
