//! Clusters: what they are, their rules, and what DRS recommends.

use std::time::Duration;

use vsphere_ops::{
    Client,
    cluster::{
        self, Applied, ClusterInfo, ClusterQuery, ClusterSummary, DeletedRule, DrsRule, MadeRule, NewRule,
        Recommendations, RuleKind,
    },
    managed::{ClusterComputeResource, HostSystem},
};

use super::prelude::*;

/// How long VMs that DRS moves are waited for.
const PATIENCE: Duration = Duration::from_secs(15 * 60);

/// The tools of this family.
pub(super) fn tools() -> Vec<Tool> {
    vec![
        Tool::reads("list_clusters", Vcenter, "List clusters", list_clusters).about(
            "List clusters with status, hosts, CPU and memory, and whether DRS and HA are on. More `fields`: vms, evc, \
                     drs_automation, admission_control, vsan, cpu_demand_mhz, datastores, path, tags.",
        ),
        Tool::reads("get_cluster_info", Vcenter, "Get a cluster's details", get_cluster_info)
            .about("Get a cluster's hosts, capacity and usage, DRS, HA with admission control, EVC and vSAN."),
        Tool::reads("list_drs_rules", Vcenter, "List DRS rules", list_drs_rules)
            .about("List a cluster's rules about which VMs run together or apart, and on which hosts."),
        Tool::adds("create_drs_rule", Vcenter, HostAdmin, "Create a DRS rule", create_drs_rule)
            .about("Create a rule that keeps VMs together (affinity), apart (anti_affinity), or on or off hosts.")
            .needs(&["Host.Inventory.EditCluster"]),
        Tool::changes("delete_drs_rule", Vcenter, HostAdmin, "Delete a DRS rule", delete_drs_rule)
            .about("Delete a rule of a cluster, and the groups that only it uses.")
            .needs(&["Host.Inventory.EditCluster"])
            .idempotent()
            .asks(),
        Tool::reads("get_drs_recommendations", Vcenter, "Get DRS recommendations", get_drs_recommendations)
            .about("Get the moves that DRS recommends for a cluster, what kept it from others, and its last moves."),
        Tool::adds(
            "apply_drs_recommendation",
            Vcenter,
            HostAdmin,
            "Apply a DRS recommendation",
            apply_drs_recommendation,
        )
        .about("Apply a recommendation of DRS by its key, and wait until its VMs have moved.")
        .needs(&["Resource.ApplyRecommendation"])
        .long(),
    ]
}

async fn list_clusters(args: ListClusters, cx: Cx) -> Result<Either<Listed<ClusterSummary>, Object<Groups>>> {
    let (page, fields) = args.paging.open(&cx)?;
    let Asked { find, conditions, order, columns, group_by } = args.asking.of(&fields)?;
    let query = ClusterQuery { page, find, conditions, order, columns };
    let client = cx.client().await?;
    match group_by {
        Some(column) => Ok(Either::Other(Object(cluster::groups(&client, &query, column).await?))),
        None => Ok(Either::One(cx.page(cluster::list(&client, &query).await?, fields))),
    }
}

async fn get_cluster_info(args: OneCluster, cx: Cx) -> Result<Object<ClusterInfo>> {
    Ok(Object(args.cluster.find(&cx.client().await?).await?.info().await?))
}

async fn list_drs_rules(args: ListRules, cx: Cx) -> Result<Listed<DrsRule>> {
    let (query, fields) = args.paging.open(&cx)?;
    let page = args.cluster.find(&cx.client().await?).await?.rules(&query).await?;
    Ok(cx.page(page, fields))
}

async fn create_drs_rule(args: CreateRule, cx: Cx) -> Result<Object<MadeRule>> {
    let client = cx.client().await?;
    let (cluster, new) = cx
        .agreed(|| async {
            let cluster = args.cluster.find(&client).await?;
            let (vms, hosts) = (texts(&args.vms), texts(args.hosts.as_deref().unwrap_or_default()));
            let vms = client.get_many::<VirtualMachine>(&vms).await?.into_iter().collect::<vsphere_ops::Result<_>>()?;
            let hosts = client.get_many::<HostSystem>(&hosts).await?.into_iter().collect::<vsphere_ops::Result<_>>()?;
            let new = NewRule { name: args.name.clone(), kind: args.kind, vms, hosts };
            let question = format!("Create the rule {} in {}?", quoted(&new.name), quoted(cluster.label()));
            let ids: Vec<&str> = new.vms.iter().map(Mo::id).chain(new.hosts.iter().map(Mo::id)).collect();
            let preview = Preview::new(question).object(cx.arguments_shown())?.bind((cluster.id(), ids))?.harmless();
            Ok(((cluster, new), preview))
        })
        .await?;
    Ok(Object(cluster.make_rule(&new).await?))
}

async fn delete_drs_rule(args: DeleteRule, cx: Cx) -> Result<Object<DeletedRule>> {
    let client = cx.client().await?;
    let deletion = cx.agreed(|| async {
        let deletion = args.cluster.find(&client).await?.rule_deletion(&args.rule).await?;
        let question = format!("Delete the rule {} of {}?", quoted(&deletion.rule.name), quoted(&deletion.cluster));
        let groups: Vec<String> = deletion.groups.iter().map(|group| quoted(&group.name)).collect();
        let preview = match groups.as_slice() {
            [] => Preview::new(question),
            _ => Preview::new(question)
                .note(format!("No other rule uses these groups, which are deleted with it: {}.", groups.join(", "))),
        };
        let preview = preview.object(&deletion)?;
        Ok((deletion, preview))
    });
    Ok(Object(deletion.await?.carry_out().await?))
}

async fn get_drs_recommendations(args: OneCluster, cx: Cx) -> Result<Object<Recommendations>> {
    Ok(Object(args.cluster.find(&cx.client().await?).await?.recommendations().await?))
}

async fn apply_drs_recommendation(args: ApplyRecommendation, cx: Cx) -> Result<Object<Applied>> {
    let client = cx.client().await?;
    let application = cx.agreed(|| async {
        let application = args.cluster.find(&client).await?.application(args.recommendation.trim()).await?;
        let question = format!("Apply this recommendation of DRS in {}?", quoted(&application.cluster));
        let preview = Preview::new(question).object(&application)?.harmless();
        Ok((application, preview))
    });
    cx.may_take(PATIENCE);
    Ok(Object(application.await?.carry_out(Some(PATIENCE)).await?))
}

fn texts(names: &[String]) -> Vec<&str> {
    names.iter().map(String::as_str).collect()
}

impl ClusterName {
    async fn find(&self, client: &Client) -> Result<Mo<ClusterComputeResource>> {
        Ok(client.get::<ClusterComputeResource>(self).await?)
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
struct ListClusters {
    #[serde(flatten)]
    asking: Asking,
    #[serde(flatten)]
    paging: Paging<ClusterSummary>,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct OneCluster {
    cluster: ClusterName,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct ListRules {
    cluster: ClusterName,
    #[serde(flatten)]
    paging: Paging<DrsRule>,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct CreateRule {
    cluster: ClusterName,
    /// Unique in the cluster.
    name: String,
    kind: RuleKind,
    /// Two or more, unless it is about hosts.
    vms: Vec<String>,
    /// Only for kinds that name hosts.
    hosts: Option<Vec<String>>,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct DeleteRule {
    cluster: ClusterName,
    /// Name or key.
    rule: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct ApplyRecommendation {
    cluster: ClusterName,
    /// Its key.
    recommendation: String,
}
