//! `lonja quota`, `lonja weights`.

use std::process::ExitCode;

use anyhow::{Context, bail};
use lonja_model::quota::Quota as Amounts;
use lonja_model::resources::{Quantities, Scalar};
use lonja_proto::convert::framework::quantities_to_wire;
use lonja_proto::mesos;
use lonja_proto::mesos::master::Call;
use lonja_proto::mesos::master::call::{self, Type};
use serde_json::json;

use super::list::{amounts, numbers, or_dash};
use crate::args::{Family, Quota, QuotaCommand, Weights, WeightsCommand};
use crate::client::Client;
use crate::output::{Listing, Row, amount, note};

/// Lists, sets or removes quotas.
pub(crate) async fn quota(quota: &Quota) -> anyhow::Result<ExitCode> {
    let family = &quota.family;
    match &quota.command {
        None | Some(QuotaCommand::List) => {
            let roles = roles(&mut Client::connect(&family.master).await?).await?;
            let with_quota = |role: &&mesos::Role| !role.guarantees.is_empty() || !role.limits.is_empty();
            print_quotas(family, roles.iter().filter(with_quota));
        }
        Some(QuotaCommand::Set { role, guarantee, limit, force }) => {
            let mut client = Client::connect_within(&family.master, family.wait).await?;
            let before = roles(&mut client).await?.into_iter().find(|known| known.name == *role);
            let before = before.map(|role| quota_of(&role)).unwrap_or_default();
            let wanted = QuotaCommand::merge(before, guarantee.as_ref(), limit.as_ref());
            update(&mut client, role, &wanted, *force).await?;
            let after = roles(&mut client).await?;
            print_quotas(family, after.iter().filter(|known| known.name == *role));
        }
        Some(QuotaCommand::Remove { role }) => {
            let mut client = Client::connect_within(&family.master, family.wait).await?;
            let had = roles(&mut client).await?.into_iter().find(|known| known.name == *role);
            if had.is_none_or(|role| quota_of(&role) == Amounts::default()) {
                bail!("role {role} has no quota; `lonja quota` lists those that have");
            }
            update(&mut client, role, &Amounts::default(), false).await?;
            removed(family, "quota", &format!("role {role} has no quota any more"));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Says that something is gone: to people in a sentence, to programs as an empty listing.
pub(super) fn removed(family: &Family, what: &'static str, sentence: &str) {
    if family.output == crate::args::Format::Json && !family.quiet {
        Listing { what, columns: Vec::new(), wide_from: 0, rows: Vec::new() }.print(family.output, false);
    } else if !family.quiet {
        note(sentence);
    }
}

async fn update(client: &mut Client, role: &str, wanted: &Amounts, force: bool) -> anyhow::Result<()> {
    let config = mesos::quota::QuotaConfig {
        role: role.to_owned(),
        guarantees: quantities_to_wire(&wanted.guarantees),
        limits: quantities_to_wire(&wanted.limits),
    };
    let update_quota = Some(call::UpdateQuota { force: Some(force), quota_configs: vec![config] });
    client.call(Type::UpdateQuota, Call { update_quota, ..Call::default() }).await?;
    Ok(())
}

async fn roles(client: &mut Client) -> anyhow::Result<Vec<mesos::Role>> {
    let answer = client.ask(Type::GetRoles).await?;
    Ok(answer.get_roles.context("the master's answer holds no roles")?.roles)
}

fn quota_of(role: &mesos::Role) -> Amounts {
    Amounts { guarantees: amounts(&role.guarantees), limits: amounts(&role.limits) }
}

fn print_quotas<'r>(family: &Family, roles: impl Iterator<Item = &'r mesos::Role>) {
    let row = |role: &mesos::Role| {
        let quota = quota_of(role);
        let consumed = amounts(&role.consumed);
        Row {
            id: role.name.clone(),
            cells: vec![
                role.name.clone(),
                or_dash(&quota.guarantees),
                or_dash(&quota.limits),
                or_dash(&consumed),
                state(&quota, &consumed),
                or_dash(&amounts(&role.allocated)),
                or_dash(&amounts(&role.offered)),
            ],
            object: json!({
                "role": role.name,
                "guarantees": numbers(&quota.guarantees),
                "limits": numbers(&quota.limits),
                "consumed": numbers(&consumed),
            }),
        }
    };
    let columns = vec!["role", "guarantee", "limit", "consumed", "state", "in use", "offered"];
    Listing { what: "quota", columns, wide_from: 5, rows: roles.map(row).collect() }
        .print(family.output, family.quiet);
}

/// Where a role stands with its quota, in words.
fn state(quota: &Amounts, consumed: &Quantities) -> String {
    let above = quota.limits.iter().find(|(name, limit)| consumed.get(name) > *limit);
    let full = quota.limits.iter().find(|(name, limit)| consumed.get(name) == *limit);
    let mut short = quota.guarantees.clone();
    short.subtract(consumed);
    match (above, full) {
        (Some((name, _)), _) => format!("above its limit of {name}"),
        (None, Some((name, _))) => format!("at its limit of {name}"),
        (None, None) if !short.is_empty() => format!("could have {short} more for sure"),
        (None, None) => "within".to_owned(),
    }
}

/// Lists or sets weights.
pub(crate) async fn weights(weights: &Weights) -> anyhow::Result<ExitCode> {
    let family = &weights.family;
    match &weights.command {
        None | Some(WeightsCommand::List) => {
            let roles = roles(&mut Client::connect(&family.master).await?).await?;
            print_weights(family, roles.iter().map(|role| (role.name.as_str(), role.weight)));
        }
        Some(WeightsCommand::Set { weights }) => {
            let mut client = Client::connect_within(&family.master, family.wait).await?;
            let info = |(role, weight): &(String, Scalar)| mesos::WeightInfo {
                weight: weight.to_f64(),
                role: Some(role.clone()),
            };
            let weight_infos = weights.iter().map(info).collect();
            let update_weights = Some(call::UpdateWeights { weight_infos });
            client.call(Type::UpdateWeights, Call { update_weights, ..Call::default() }).await?;
            print_weights(family, weights.iter().map(|(role, weight)| (role.as_str(), weight.to_f64())));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn print_weights<'r>(family: &Family, weights: impl Iterator<Item = (&'r str, f64)>) {
    let rows = weights.map(|(role, weight)| Row {
        id: role.to_owned(),
        cells: vec![role.to_owned(), amount(weight)],
        object: json!({ "role": role, "weight": weight }),
    });
    Listing { what: "weights", columns: vec!["role", "weight"], wide_from: 2, rows: rows.collect() }
        .print(family.output, family.quiet);
}
