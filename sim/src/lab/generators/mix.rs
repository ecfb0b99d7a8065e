//! Dealing the tasks of a workload out to several frameworks.

use lonja_model::Role;
use lonja_model::resources::Scalar;

use super::kinds::MOST_FRAMEWORKS;
use super::spec::{InvalidWords, shown};
use crate::lab::amounts::{self, WEIGHT};
use crate::lab::{Tenant, Workload};
use crate::random::Random;

const OF: &str = "framework-mix";
/// Bytes of all the words.
const MOST_BYTES: usize = 1 << 20;
/// The whole of the tasks, in thousandths.
const ALL: u64 = 1000;

/// Deals the tasks out: `prod=2:0.3,batch=1` is a framework `prod` of weight 2 with three tenths of the tasks, and
/// `batch` of weight 1 with the rest. Parts are of 1; frameworks that name none share evenly what the others leave.
/// Whose a task is decides the lot, one task after the other. The frameworks that were there before are gone.
///
/// O(tasks x log frameworks). Errors: [`InvalidWords`] with the framework at fault.
pub fn mix(mut workload: Workload, words: &str, seed: u64) -> Result<Workload, InvalidWords> {
    let shares = parse(words)?;
    let mut random = Random::new(seed).fork();
    // Upper ends of the frameworks' parts: a number below the last end is dealt to the first whose end is above it.
    let mut end = 0;
    let ends: Vec<u64> = shares
        .iter()
        .map(|share| {
            end += share.part;
            end
        })
        .collect();
    for arrival in &mut workload.arrivals {
        let lot = random.below(end);
        arrival.framework = ends.partition_point(|end| *end <= lot);
    }
    workload.frameworks = shares.into_iter().map(|share| share.tenant).collect();
    workload.source = format!("{}, dealt out as {}", workload.source, shown(words));
    Ok(workload)
}

/// One framework, and its part of the tasks: in parts of what all have together.
struct Share {
    tenant: Tenant,
    part: u64,
}

fn wrong(parameter: &str, found: &str, expected: &str) -> InvalidWords {
    let (parameter, found, expected) = (shown(parameter), shown(found), expected.to_owned());
    InvalidWords::Parameter { of: OF, parameter, found, expected }
}

fn parse(words: &str) -> Result<Vec<Share>, InvalidWords> {
    if words.len() > MOST_BYTES {
        return Err(wrong("words", words, &format!("at most {MOST_BYTES} bytes")));
    }
    let mut tenants: Vec<(Tenant, Option<u64>)> = Vec::new();
    let mut names = std::collections::BTreeSet::new();
    for item in words.split(',').map(str::trim) {
        let tenant = parse_one(item)?;
        if !names.insert(tenant.0.name.clone()) {
            return Err(wrong(&tenant.0.name, item, "each framework once"));
        }
        if tenants.len() >= MOST_FRAMEWORKS {
            return Err(wrong(&tenant.0.name, item, &format!("at most {MOST_FRAMEWORKS} frameworks")));
        }
        tenants.push(tenant);
    }
    let given: u64 = tenants.iter().filter_map(|(_, part)| *part).sum();
    let open = u64::try_from(tenants.iter().filter(|(_, part)| part.is_none()).count()).unwrap_or(u64::MAX);
    let thousandths = |part: u64| Scalar::from_thousandths(part).unwrap_or(Scalar::MAX).to_string();
    match (given, open) {
        (given, 0) if given != ALL => Err(wrong("parts", &thousandths(given), "parts that make 1 together")),
        (given, 1..) if given >= ALL => {
            Err(wrong("parts", &thousandths(given), "parts that leave something to those that name none"))
        }
        // In parts of 1/1000 of what one of those without a part gets, so that thirds are thirds.
        (given, open) => Ok(tenants
            .into_iter()
            .map(|(tenant, part)| Share { tenant, part: part.map_or(ALL - given, |part| part * open.max(1)) })
            .collect()),
    }
}

/// `NAME=WEIGHT` or `NAME=WEIGHT:PART`.
fn parse_one(item: &str) -> Result<(Tenant, Option<u64>), InvalidWords> {
    let Some((name, rest)) = item.split_once('=') else {
        return Err(wrong("words", item, "NAME=WEIGHT or NAME=WEIGHT:PART, with commas between them"));
    };
    let name = name.trim();
    Role::new(name).map_err(|why| wrong(name, name, &format!("the name of a role: {why}")))?;
    let (weight_text, part) = match rest.split_once(':') {
        Some((weight, part)) => (weight.trim(), Some(part.trim())),
        None => (rest.trim(), None),
    };
    let weight = amounts::weight(weight_text).ok_or_else(|| wrong(name, weight_text, WEIGHT))?;
    let part = match part {
        Some(text) => {
            let part = amounts::scalar(text).map(Scalar::thousandths).filter(|part| (1..=ALL).contains(part));
            let expected = "a part of the tasks above 0 and up to 1, with up to three decimals";
            Some(part.ok_or_else(|| wrong(name, text, expected))?)
        }
        None => None,
    };
    Ok((Tenant { name: name.to_owned(), weight }, part))
}
