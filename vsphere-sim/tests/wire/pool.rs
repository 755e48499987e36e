//! Resource pools, over the wire.

use crate::support::Lab;
use vsphere_model::managed::{ResourcePool, resource_pool, virtual_machine};
use vsphere_model::types::{ResourceAllocationInfo, ResourceConfigSpec, SharesInfo, SharesLevel};
use vsphere_sim::{Model, Size};
use vsphere_soap::object::ManagedObjectReference as Moref;
use vsphere_soap::request::{ManagedObject as _, Request};

async fn lab() -> Lab {
    Lab::new(Model::sized(Size { vms: 0, ..Size::default() })).await
}

async fn fault<T>(request: Request<T>) -> String
where
    Request<T>: IntoFuture<Output = vsphere_soap::Result<T>>,
{
    let error = request.await.err().unwrap();
    error.fault().unwrap().name().unwrap_or_default().to_owned()
}

async fn success(lab: &Lab, request: Request<Moref>) {
    assert_eq!(lab.task(request).await.unwrap().error, None);
}

/// So many MHz reserved, and no more than these where a limit is given.
fn cpu(reservation: i64, limit: i64) -> ResourceConfigSpec {
    let allocation = |reservation, limit| ResourceAllocationInfo {
        reservation: Some(reservation),
        limit: Some(limit),
        expandable_reservation: Some(false),
        shares: Some(Box::new(SharesInfo { shares: 0, level: SharesLevel::Normal })),
        ..Default::default()
    };
    ResourceConfigSpec {
        cpu_allocation: allocation(reservation, limit),
        memory_allocation: allocation(0, -1),
        ..Default::default()
    }
}

async fn root(lab: &Lab) -> ResourcePool {
    lab.object(&lab.site().await.pool)
}

#[tokio::test]
async fn what_a_pool_reserves_its_parent_has_no_more() {
    let lab = lab().await;
    let root = root(&lab).await;
    let capacity = lab.get(&root, resource_pool::RUNTIME).await.cpu.unreserved_for_pool;
    assert!(capacity > 100_000);
    let pool: ResourcePool = lab.object(&root.create_resource_pool("prod", &cpu(60_000, -1)).await.unwrap());
    assert_eq!(lab.get(&root, resource_pool::RUNTIME).await.cpu.unreserved_for_pool, capacity - 60_000);
    assert_eq!(fault(root.create_resource_pool("prod", &cpu(0, -1))).await, "DuplicateName");
    assert_eq!(fault(root.create_resource_pool("more", &cpu(capacity, -1))).await, "InsufficientCpuResourcesFault");
    assert_eq!(fault(root.create_resource_pool("odd", &cpu(100, 50))).await, "InvalidArgument");
    assert_eq!(fault(pool.create_resource_pool("child", &cpu(60_001, -1))).await, "InsufficientCpuResourcesFault");
    pool.create_resource_pool("child", &cpu(10_000, 20_000)).await.unwrap();
    assert_eq!(fault(pool.update_config(None, Some(&cpu(capacity + 1, -1)))).await, "InsufficientCpuResourcesFault");
    pool.update_config(Some("prod2"), Some(&cpu(70_000, -1))).await.unwrap();
    assert_eq!(lab.get(&pool, resource_pool::NAME).await, "prod2");
    assert_eq!(lab.get(&root, resource_pool::RUNTIME).await.cpu.unreserved_for_pool, capacity - 70_000);
    assert_eq!(fault(root.update_config(Some("other"), None)).await, "InvalidArgument");
}

#[tokio::test]
async fn levels_bring_their_own_shares_and_a_stale_change_is_refused() {
    let lab = lab().await;
    let pool: ResourcePool = lab.object(&root(&lab).await.create_resource_pool("a", &cpu(0, -1)).await.unwrap());
    let mut spec = cpu(0, -1);
    spec.cpu_allocation.shares = Some(Box::new(SharesInfo { shares: 17, level: SharesLevel::High }));
    let before = lab.get(&pool, resource_pool::CONFIG).await.change_version;
    pool.update_config(None, Some(&spec)).await.unwrap();
    let config = lab.get(&pool, resource_pool::CONFIG).await;
    assert_eq!(config.cpu_allocation.shares.unwrap().shares, 8000);
    assert_eq!(config.memory_allocation.shares.unwrap().shares, 163_840);
    spec.change_version = before;
    assert_eq!(fault(pool.update_config(None, Some(&spec))).await, "ConcurrentAccess");
}

#[tokio::test]
async fn a_pool_that_is_destroyed_leaves_its_machines_and_pools_to_its_parent() {
    let lab = lab().await;
    let root = root(&lab).await;
    let machine = lab.machine("a", &[]).await;
    let outer: ResourcePool = lab.object(&root.create_resource_pool("outer", &cpu(0, -1)).await.unwrap());
    let inner: ResourcePool = lab.object(&outer.create_resource_pool("inner", &cpu(0, -1)).await.unwrap());
    let (vm, inner_ref) = (machine.handle().reference().clone(), inner.handle().reference().clone());
    inner.move_into_resource_pool(std::slice::from_ref(&vm)).await.unwrap();
    assert_eq!(lab.get(&machine, virtual_machine::RESOURCE_POOL).await.as_ref(), Some(&inner_ref));
    assert_eq!(fault(inner.move_into_resource_pool(&[outer.handle().reference().clone()])).await, "InvalidArgument");
    success(&lab, inner.destroy_task()).await;
    assert_eq!(lab.get(&outer, resource_pool::VM).await, std::slice::from_ref(&vm));
    let again = outer.create_resource_pool("again", &cpu(0, -1)).await.unwrap();
    success(&lab, outer.destroy_task()).await;
    assert_eq!(lab.get(&root, resource_pool::VM).await, [vm]);
    assert_eq!(lab.get(&root, resource_pool::RESOURCE_POOL).await, [again]);
    root.destroy_children().await.unwrap();
    assert_eq!(lab.get(&root, resource_pool::RESOURCE_POOL).await, []);
    assert_eq!(fault(root.destroy_task()).await, "InvalidType");
}

#[tokio::test]
async fn a_pool_uses_what_its_machines_use() {
    let lab = lab().await;
    let pool: ResourcePool = lab.object(&root(&lab).await.create_resource_pool("a", &cpu(0, -1)).await.unwrap());
    let machine = lab.machine("a", &[]).await;
    pool.move_into_resource_pool(&[machine.handle().reference().clone()]).await.unwrap();
    assert_eq!(lab.get(&pool, resource_pool::RUNTIME).await.memory.overall_usage, 0);
    success(&lab, machine.power_on_vm_task(None)).await;
    let runtime = lab.get(&pool, resource_pool::RUNTIME).await;
    assert!(runtime.memory.overall_usage > 64 << 20 && runtime.cpu.overall_usage > 0, "{runtime:?}");
    let summary = lab.get(&pool, resource_pool::SUMMARY).await;
    assert_eq!(summary.configured_memory_mb, Some(4096));
}

#[tokio::test]
async fn a_new_pool_must_be_told_everything_and_a_full_one_takes_no_more() {
    let lab = lab().await;
    let root = root(&lab).await;
    let mut lacking = cpu(0, -1);
    lacking.memory_allocation.shares = None;
    assert_eq!(fault(root.create_resource_pool("a", &lacking)).await, "InvalidArgument");
    let small: ResourcePool = lab.object(&root.create_resource_pool("small", &cpu(100, -1)).await.unwrap());
    let large = root.create_resource_pool("large", &cpu(200, -1)).await.unwrap();
    let into_small = small.move_into_resource_pool(std::slice::from_ref(&large));
    assert_eq!(fault(into_small).await, "InsufficientCpuResourcesFault");
    assert_eq!(lab.get(&root, resource_pool::RESOURCE_POOL).await.len(), 2);
    small.update_config(None, Some(&cpu(300, -1))).await.unwrap();
    small.move_into_resource_pool(std::slice::from_ref(&large)).await.unwrap();
    assert_eq!(lab.get(&small, resource_pool::RESOURCE_POOL).await, [large]);
}
