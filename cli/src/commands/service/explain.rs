//! `lonja service explain`: why instances are not launched.
//!
//! Each offer that was not used counts at the first reason that holds; the nearest miss is the offer that lacked least.
//!
//! Source: Marathon's launch queue and its reject reasons; the words are Lonja's own (`docs/services.md`).

use std::process::ExitCode;

use serde_json::{Value, json};

use super::api::{Api, ApiError, escape};
use super::ids::rooted;
use super::show::failed_checks;
use super::standing::text;
use crate::args::Format;
use crate::args::services::{ExplainService, ServiceFamily};
use crate::output::{Listing, Row, print_lines};

/// So many offers are shown; all are in the JSON.
const MOST_OFFERS: usize = 5;

/// Why instances of an app or pod, or runs of a job, wait.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Explanation {
    pub(super) id: String,
    /// How many wait.
    pub(super) count: u64,
    pub(super) since: Option<String>,
    /// No launch for so long, because of failures before; none: they wait for offers.
    pub(super) delay_seconds: Option<u64>,
    /// How many offers were looked at since it began to wait.
    pub(super) processed: u64,
    /// How many agents' last offers failed for which reason, those that failed none left out.
    pub(super) reasons: Vec<(String, u64)>,
    /// The offer that lacked least, in words.
    pub(super) nearest: Option<String>,
    /// What else the framework says, a sentence each, the most important first.
    pub(super) summary: Vec<String>,
    /// The last offer of each agent: its host, and why it was not used.
    pub(super) offers: Vec<(String, String)>,
}

impl Explanation {
    /// Of an entry of the launch queue.
    fn of_entry(entry: &Value) -> Self {
        let delay = &entry["delay"];
        let summary = &entry["processedOffersSummary"];
        let reasons = |field: &str| -> Vec<(String, u64)> {
            let steps = summary[field].as_array().into_iter().flatten();
            let steps = steps.filter_map(|step| Some((text(&step["reason"])?, step["declined"].as_u64()?)));
            steps.filter(|(_, declined)| *declined > 0).collect()
        };
        let latest = reasons("rejectSummaryLastOffers");
        let offers = entry["lastUnusedOffers"].as_array().into_iter().flatten().map(|unused| {
            let host = text(&unused["offer"]["hostname"]).unwrap_or_default();
            let names: Vec<&str> =
                unused["reason"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            (host, text(&unused["detail"]).unwrap_or_else(|| names.join(", ")))
        });
        Self {
            id: text(&entry["app"]["id"]).or(text(&entry["pod"]["id"])).unwrap_or_default(),
            count: entry["count"].as_u64().unwrap_or(0),
            since: text(&entry["since"]),
            delay_seconds: (delay["overdue"] == json!(false))
                .then(|| delay["timeLeftSeconds"].as_u64().unwrap_or(0)),
            processed: summary["processedOffersCount"].as_u64().unwrap_or(0),
            reasons: if latest.is_empty() { reasons("rejectSummaryLaunchAttempt") } else { latest },
            nearest: None,
            summary: Vec::new(),
            offers: offers.collect(),
        }
    }

    /// With what the framework says in words.
    fn with_words(mut self, words: &Value) -> Self {
        let name = |offer: &Value| host_of(offer, &words["lastOffers"]);
        let miss = &words["nearestMiss"];
        self.nearest = text(&miss["why"]).map(|why| match name(miss) {
            Some(host) => format!("{host}: {why}"),
            None => why,
        });
        let offers = words["lastOffers"].as_array().into_iter().flatten();
        let offers: Vec<_> = offers
            .filter_map(|offer| Some((name(offer).unwrap_or_default(), text(&offer["detail"])?)))
            .collect();
        if !offers.is_empty() {
            self.offers = offers;
        }
        self.summary = words["summary"].as_array().into_iter().flatten().filter_map(text).collect();
        self
    }

    /// In one line, for those who look on.
    pub(super) fn line(&self) -> String {
        match (self.delay_seconds, &self.nearest) {
            (Some(seconds), _) => format!("launches are delayed for {seconds} s after failures"),
            (None, Some(nearest)) => format!("waits for offers; nearest: {nearest}"),
            (None, None) if self.reasons.is_empty() => "waits for offers".to_owned(),
            (None, None) => {
                let (reason, count) = &self.reasons[0];
                format!("waits for offers; {reason} at {count}")
            }
        }
    }

    /// In full, for people.
    pub(super) fn lines(&self) -> Vec<String> {
        let since = self.since.as_ref().map(|since| format!(" since {since}")).unwrap_or_default();
        let mut lines =
            vec![format!("{}: {} to be launched{since}", self.id, counted(self.count, "instance"))];
        if let Some(seconds) = self.delay_seconds {
            lines.push(format!("  launches are delayed for {seconds} s more, because instances failed"));
        }
        match self.processed {
            // Before it is over no offer is looked at.
            0 if self.delay_seconds.is_some() => {}
            0 => lines.push(
                "  no offer has been seen: all is in use, no agent is large enough, or none is there"
                    .to_owned(),
            ),
            seen => {
                lines.push(format!("  {} seen so far; the agents' last ones lack:", counted(seen, "offer")))
            }
        }
        lines.extend(
            self.reasons.iter().map(|(reason, count)| format!("    {count:>5}  {}", in_words(reason))),
        );
        // The first says what the numbers say.
        lines.extend(self.summary.iter().skip(1).map(|sentence| format!("  {sentence}")));
        lines.extend(self.nearest.iter().map(|nearest| format!("  nearest miss: {nearest}")));
        for (host, why) in self.offers.iter().take(MOST_OFFERS) {
            lines.push(format!("  {host}: {why}"));
        }
        if self.offers.len() > MOST_OFFERS {
            lines.push(format!(
                "  ... and {} more",
                counted((self.offers.len() - MOST_OFFERS) as u64, "agent")
            ));
        }
        lines
    }

    /// For programs.
    pub(super) fn object(&self) -> Value {
        let reasons = self.reasons.iter().map(|(reason, count)| json!({ "reason": reason, "count": count }));
        let offers = self.offers.iter().map(|(host, why)| json!({ "host": host, "why": why }));
        json!({
            "id": self.id,
            "waiting": self.count,
            "since": self.since,
            "delay_seconds": self.delay_seconds,
            "offers_seen": self.processed,
            "reasons": reasons.collect::<Vec<_>>(),
            "nearest_miss": self.nearest,
            "summary": self.summary,
            "last_offers": offers.collect::<Vec<_>>(),
        })
    }
}

/// The host of an offer; where agents of several of these offers are on it, with the agent's id.
fn host_of(offer: &Value, among: &Value) -> Option<String> {
    let (host, agent) = (text(&offer["hostname"])?, text(&offer["agentId"]));
    let mut others = among.as_array().into_iter().flatten();
    let is_shared =
        others.any(|other| other["hostname"] == offer["hostname"] && other["agentId"] != offer["agentId"]);
    Some(agent.filter(|_| is_shared).map_or_else(|| host.clone(), |agent| format!("{host} ({agent})")))
}

fn counted(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// A reason as people would say it.
fn in_words(reason: &str) -> &str {
    match reason {
        "UnfulfilledRole" => "resources for this role",
        "UnfulfilledConstraint" => "what the constraints ask for",
        "NoCorrespondingReservationFound" => "the instance's data",
        "AgentMaintenance" => "time: the agent is to be maintained",
        "InsufficientCpus" => "CPUs",
        "InsufficientMemory" => "memory",
        "InsufficientDisk" => "disk",
        "InsufficientGpus" => "GPUs",
        "InsufficientPorts" => "ports",
        "DeclinedScarceResources" => "a need for its GPUs: they are kept for those who ask for them",
        other => other,
    }
}

/// All that wait, and why, in words for the first few.
pub(super) fn all(api: &Api) -> Result<Vec<Explanation>, ApiError> {
    read(api, None)
}

fn read(api: &Api, only: Option<&str>) -> Result<Vec<Explanation>, ApiError> {
    let queue = api.get("/v2/queue?embed=lastUnusedOffers")?;
    let entries = queue["queue"].as_array().into_iter().flatten().map(Explanation::of_entry);
    let mut waiting: Vec<Explanation> = entries.filter(|why| only.is_none_or(|id| why.id == id)).collect();
    for why in waiting.iter_mut().take(MOST_OFFERS) {
        if let Ok(Some(words)) = api.find(&format!("/v2/apps{}/explain", escape(&why.id))) {
            *why = std::mem::take(why).with_words(&words);
        }
    }
    Ok(waiting)
}

/// Explains one, or all that wait.
pub(super) fn run(api: &Api, family: &ServiceFamily, explain: &ExplainService) -> anyhow::Result<ExitCode> {
    let wanted = explain.id.as_deref().map(rooted);
    let waiting = read(api, wanted.as_deref())?;
    if family.output == Format::Json || family.quiet {
        let row = |why: &Explanation| Row { id: why.id.clone(), cells: Vec::new(), object: why.object() };
        let rows = waiting.iter().map(row).collect();
        Listing { what: "waiting", columns: Vec::new(), wide_from: 0, rows }
            .print(family.output, family.quiet);
        return Ok(ExitCode::SUCCESS);
    }
    match (&wanted, waiting.is_empty()) {
        (None, true) => print_lines(&["nothing waits to be launched".to_owned()]),
        (Some(id), true) => print_lines(&why_nothing_waits(api, id)?),
        (_, false) => print_lines(&waiting.iter().flat_map(Explanation::lines).collect::<Vec<_>>()),
    }
    if let Some(id) = &wanted
        && let Some(found) = api.find(&format!("/v2/apps{}", escape(id)))?
    {
        let failed = failed_checks(&found["app"]).map(|failed| format!("  failed check {failed}"));
        print_lines(&failed.collect::<Vec<_>>());
    }
    Ok(ExitCode::SUCCESS)
}

/// Nothing of it waits: it is up, or starts, or fails.
fn why_nothing_waits(api: &Api, id: &str) -> anyhow::Result<Vec<String>> {
    let Some(words) = api.find(&format!("/v2/apps{}/explain", escape(id)))? else {
        anyhow::bail!(
            "there is no app, pod or job {id}; `lonja service list` and `lonja service job list` show what there is"
        );
    };
    let mut lines = vec![format!("{id}: nothing waits to be launched")];
    lines.extend(
        words["summary"].as_array().into_iter().flatten().filter_map(text).map(|line| format!("  {line}")),
    );
    lines.extend(text(&words["deployment"]["id"]).map(|id| format!("  deployment {id} is under way")));
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(delay: Value) -> Value {
        json!({
            "app": { "id": "/web" }, "count": 2, "since": "2026-01-02T03:04:05.678Z", "delay": delay,
            "processedOffersSummary": {
                "processedOffersCount": 7,
                "rejectSummaryLastOffers": [{ "reason": "UnfulfilledRole", "declined": 0, "processed": 3 },
                                            { "reason": "InsufficientCpus", "declined": 3, "processed": 3 }],
            },
            "lastUnusedOffers": [{ "offer": { "hostname": "h1" }, "reason": ["InsufficientCpus"] }],
        })
    }

    #[test]
    fn what_waits_for_offers_tells_reasons_and_the_nearest_miss() {
        let why = Explanation::of_entry(&entry(json!({ "timeLeftSeconds": 0, "overdue": true })));
        let why = why.with_words(
            &json!({ "nearestMiss": { "hostname": "h1", "why": "2 CPUs are asked for, 1.5 are there" } }),
        );
        assert_eq!((why.count, why.delay_seconds), (2, None));
        assert_eq!(why.reasons, [("InsufficientCpus".to_owned(), 3)]);
        let lines = why.lines().join("\n");
        for part in [
            "2 instances",
            "7 offers",
            "3  CPUs",
            "nearest miss: h1: 2 CPUs are asked for",
            "h1: InsufficientCpus",
        ] {
            assert!(lines.contains(part), "{part}: {lines}");
        }
    }

    #[test]
    fn a_delay_after_failures_is_told_apart_from_want_of_offers() {
        let why = Explanation::of_entry(&entry(json!({ "timeLeftSeconds": 12, "overdue": false })));
        assert_eq!(why.delay_seconds, Some(12));
        assert!(why.line().contains("12 s"));
    }

    #[test]
    fn while_launches_are_delayed_no_offer_is_missed() {
        let why = Explanation { count: 1, delay_seconds: Some(2), ..Explanation::default() };
        let lines = why.lines().join("\n");
        assert!(lines.contains("delayed for 2 s") && !lines.contains("no offer has been seen"), "{lines}");
        let why = Explanation { count: 1, ..Explanation::default() };
        assert!(why.lines().join("\n").contains("no offer has been seen"));
    }

    #[test]
    fn agents_on_one_host_are_told_apart_by_their_ids() {
        let offer = |host: &str, agent: &str| json!({ "hostname": host, "agentId": agent, "detail": "why", "why": "why" });
        let offers = json!([offer("h1", "a"), offer("h1", "b"), offer("h2", "c")]);
        let why = Explanation::default()
            .with_words(&json!({ "lastOffers": offers, "nearestMiss": offer("h1", "b") }));
        assert_eq!(why.nearest.as_deref(), Some("h1 (b): why"));
        let names: Vec<&str> = why.offers.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["h1 (a)", "h1 (b)", "h2"]);
    }
}
