//! What a person reads at the terminal: short lines and plain tables, and what to do next. The same answers as `--json`
//! prints, and nothing beyond them.

use serde_json::Value;

use super::Command;

/// The answer to `command` for a person.
#[must_use]
pub fn render(command: &Command, answer: &Value) -> String {
    let lines = match command {
        Command::SiteAdd { .. } => site_added(answer),
        Command::SiteList => sites(answer),
        Command::SiteRemove { .. } => removed(answer),
        Command::SiteSwitch { .. } => switched(answer),
        Command::GroupLink(_) => linked(answer),
        Command::GroupList { .. } => groups(answer),
        Command::GroupUnlink { .. } => unlinked(answer),
        // For a file: nothing but the manifest.
        Command::ForgeManifest { .. } => {
            answer["manifest"].as_str().unwrap_or_default().lines().map(str::to_owned).collect()
        }
        Command::Status => status(answer),
        Command::Doctor => diagnosis(answer),
        Command::Explain { .. } => explained(answer),
        Command::DlqList { .. } => letters(answer),
        Command::DlqRedrive { .. } => redriven(answer),
    };
    lines.join("\n")
}

fn site_added(answer: &Value) -> Vec<String> {
    let role = if answer["writes"] == true { "writes" } else { "stands by" };
    let mut lines = vec![format!(
        "{} is added as {}; this connection {role}.",
        text(&answer["host"]),
        text(&answer["site"])
    )];
    lines.extend(notes(answer));
    lines.push(format!("Next: gitlab-jira group link --site {} --group GROUP", text(&answer["host"])));
    lines
}

fn sites(answer: &Value) -> Vec<String> {
    let sites = list(&answer["sites"]);
    if sites.is_empty() {
        return vec!["No site yet: install the app in Jira or run `gitlab-jira site add`.".to_owned()];
    }
    let mut lines = table(
        &["SITE", "ID", "CONDITION", "SINCE", "CONNECTIONS", "LINKS"],
        sites.iter().map(|site| {
            let connections: Vec<String> = list(&site["connections"])
                .iter()
                .map(|connection| {
                    let mark = if connection["writes"] == true { "" } else { " (stands by)" };
                    format!("{}{mark}", text(&connection["kind"]))
                })
                .collect();
            vec![
                text(&site["host"]),
                text(&site["id"]),
                text(&site["condition"]),
                day(&site["since"]),
                if connections.is_empty() { "none".to_owned() } else { connections.join(", ") },
                text(&site["subscriptions"]),
            ]
        }),
    );
    lines.extend(remedies(sites));
    for site in sites.iter().filter(|site| !site["needs_resync_since"].is_null()) {
        lines.push(format!(
            "{}: another connection writes since {}; what was sent before comes back with its next change in GitLab.",
            text(&site["host"]),
            day(&site["needs_resync_since"])
        ));
    }
    for (site, connection) in sites
        .iter()
        .flat_map(|site| list(&site["connections"]).iter().map(move |connection| (site, connection)))
    {
        if let Some(needs) = connection["needs"].as_str() {
            lines.push(format!(
                "{}: the connection {} needs {needs}.",
                text(&site["host"]),
                text(&connection["kind"])
            ));
        }
    }
    lines
}

fn diagnosis(answer: &Value) -> Vec<String> {
    let mark = |check: &Value| if check["ok"] == true { "ok" } else { "LOOK" };
    let rows = list(&answer["checks"]).iter();
    table(
        &["", "CHECK", "FOUND"],
        rows.map(|check| vec![mark(check).to_owned(), text(&check["check"]), text(&check["found"])]),
    )
}

fn removed(answer: &Value) -> Vec<String> {
    let mut lines = vec![format!("{} is forgotten.", text(&answer["host"]))];
    lines.extend(notes(answer));
    lines
}

fn switched(answer: &Value) -> Vec<String> {
    let mut lines = vec![format!("{} of {} writes now.", text(&answer["writes"]), text(&answer["host"]))];
    lines.extend(notes(answer));
    lines
}

fn linked(answer: &Value) -> Vec<String> {
    let mut lines = vec![
        format!(
            "{} is linked to {} as {}.",
            text(&answer["group"]),
            text(&answer["site"]),
            text(&answer["subscription"])
        ),
        format!("Hook: {}, delivers to {}", text(&answer["hook_kind"]), text(&answer["webhook_url"])),
        format!("Token kept: {}", text(&answer["credential"])),
    ];
    if let Some(secrets) = answer.get("secrets") {
        lines.push(format!("Secret token: {}", text(&secrets["token"])));
        lines.push(format!("Signing token (GitLab 19.0 and newer): {}", text(&secrets["signing_token"])));
        lines.push("These secrets are not shown again.".to_owned());
    }
    if let Some(projects) = answer.get("projects") {
        lines.push(format!("Projects with a hook: {}", text(&projects["hooked"])));
        for failed in list(&projects["failed"]) {
            lines.push(format!("No hook in {}: {}", text(&failed["project"]), text(&failed["reason"])));
        }
    }
    lines.extend(notes(answer));
    lines.push("Next: push a commit that names an issue, then run gitlab-jira explain KEY".to_owned());
    lines
}

fn groups(answer: &Value) -> Vec<String> {
    let groups = list(&answer["groups"]);
    if groups.is_empty() {
        return vec!["No group is linked: run `gitlab-jira group link`.".to_owned()];
    }
    let mut lines = table(
        &["GROUP", "SITE", "ID", "STATE", "HOOK", "TOKEN", "KEYS", "SINCE"],
        groups.iter().map(|group| {
            let keys: Vec<String> = list(&group["project_keys"]).iter().map(text).collect();
            let signed = if group["hook"]["signed"] == true { ", signed" } else { "" };
            vec![
                text(&group["group"]),
                text(&group["site"]),
                text(&group["id"]),
                text(&group["state"]),
                format!("{}{signed}", text(&group["hook"]["kind"])),
                text(&group["credential"]),
                if keys.is_empty() { "any".to_owned() } else { keys.join(",") },
                day(&group["created_at"]),
            ]
        }),
    );
    lines.extend(attentions(groups));
    lines
}

fn unlinked(answer: &Value) -> Vec<String> {
    let mut lines = vec![format!(
        "{} is no longer linked to {}: {} hooks and {} repositories are removed.",
        text(&answer["group"]),
        text(&answer["site"]),
        text(&answer["hooks_removed"]),
        text(&answer["repositories_removed"])
    )];
    lines.extend(notes(answer));
    lines
}

fn status(answer: &Value) -> Vec<String> {
    let queues = answer["queues"].as_object().into_iter().flatten();
    let mut dead = 0;
    let mut lines = table(
        &["QUEUE", "READY", "DELAYED", "IN FLIGHT", "DEAD"],
        queues.map(|(name, depth)| {
            dead += depth["dead"].as_u64().unwrap_or(0);
            let counts = ["ready", "delayed", "in_flight", "dead"].map(|count| text(&depth[count]));
            [vec![name.clone()], counts.to_vec()].concat()
        }),
    );
    let sites = list(&answer["sites"]);
    if sites.is_empty() {
        lines.push("No site yet: install the app in Jira or run `gitlab-jira site add`.".to_owned());
    } else {
        lines.push(String::new());
        lines.extend(table(
            &["SITE", "CONDITION", "LINKS"],
            sites.iter().map(|site| {
                vec![text(&site["host"]), text(&site["condition"]), text(&site["subscriptions"])]
            }),
        ));
    }
    for site in sites {
        for rest in list(&site["rests"]) {
            lines.push(format!(
                "{}: {} rests until {}: {}",
                text(&site["host"]),
                text(&rest["what"]),
                text(&rest["until"]),
                text(&rest["reason"])
            ));
        }
    }
    lines.extend(remedies(sites));
    lines.extend(attentions(list(&answer["links"])));
    if dead > 0 {
        lines.push("Next: gitlab-jira dlq list".to_owned());
    }
    lines
}

fn explained(answer: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    for site in list(&answer["sites"]) {
        lines.push(format!("{} on {}", text(&answer["key"]), text(&site["host"])));
        lines.extend(table(
            &["WHAT", "NAME", "WHEN", "RESULT"],
            list(&site["outcomes"]).iter().map(|outcome| {
                vec![
                    text(&outcome["kind"]).replace('_', " "),
                    text(&outcome["label"]),
                    text(&outcome["at"]),
                    result(outcome),
                ]
            }),
        ));
    }
    lines.extend(notes(answer));
    lines
}

/// An outcome's result with what explains it.
fn result(outcome: &Value) -> String {
    let name = match outcome["result"].as_str().unwrap_or_default() {
        "accepted" => return with_dropped("on the issue".to_owned(), outcome),
        "unknown_issue" => "Jira has no such issue".to_owned(),
        "rejected" => format!("refused by Jira: {}", text(&outcome["reason"])),
        "filtered" => format!("not sent: {}", text(&outcome["rule"])),
        "waiting" => format!("waits until {}: {}", text(&outcome["until"]), text(&outcome["reason"])),
        "removed" => "removed from the issue".to_owned(),
        other => other.to_owned(),
    };
    with_dropped(name, outcome)
}

fn with_dropped(result: String, outcome: &Value) -> String {
    match outcome["dropped_keys"].as_u64().unwrap_or(0) {
        0 => result,
        dropped => format!("{result} ({dropped} further keys are more than Jira takes)"),
    }
}

fn letters(answer: &Value) -> Vec<String> {
    let letters = list(&answer["letters"]);
    if letters.is_empty() {
        return vec!["No message was given up.".to_owned()];
    }
    let mut lines = table(
        &["ID", "QUEUE", "WHEN", "PROJECT", "REASON"],
        letters.iter().map(|letter| {
            ["id", "queue", "died_at", "project", "reason"].map(|field| text(&letter[field])).to_vec()
        }),
    );
    let dead = answer["dead"].as_u64().unwrap_or(0);
    if dead > letters.len() as u64 {
        lines.push(format!("{} of {dead} are shown.", letters.len()));
    }
    lines.push("Next: gitlab-jira dlq redrive [ID...] tries them again".to_owned());
    lines
}

fn redriven(answer: &Value) -> Vec<String> {
    match answer["redriven"].as_u64().unwrap_or(0) {
        0 => vec!["No message was given up: nothing to try again.".to_owned()],
        1 => vec!["1 message is tried again.".to_owned()],
        count => vec![format!("{count} messages are tried again.")],
    }
}

fn remedies(sites: &[Value]) -> impl Iterator<Item = String> {
    sites
        .iter()
        .filter(|site| site["remedy"].is_string())
        .map(|site| format!("{}: {}", text(&site["host"]), text(&site["remedy"])))
}

fn attentions(links: &[Value]) -> impl Iterator<Item = String> {
    links
        .iter()
        .filter(|link| link["attention"].is_string())
        .map(|link| format!("{} ({}): {}", text(&link["group"]), text(&link["id"]), text(&link["attention"])))
}

fn notes(answer: &Value) -> impl Iterator<Item = String> {
    list(&answer["notes"]).iter().map(|note| format!("Note: {}", text(note)))
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// A value as a word: `-` for what is not there. Texts come from GitLab and Jira, so what moves a terminal's cursor is
/// taken out.
fn text(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect(),
        other => other.to_string(),
    }
}

/// The day of a moment.
fn day(value: &Value) -> String {
    text(value).split('T').next().unwrap_or_default().to_owned()
}

/// Columns as wide as their widest cell.
fn table(head: &[&str], rows: impl Iterator<Item = Vec<String>>) -> Vec<String> {
    let head = head.iter().map(|cell| (*cell).to_owned()).collect();
    let rows: Vec<Vec<String>> = std::iter::once(head).chain(rows).collect();
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns)
        .map(|column| {
            rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
        })
        .collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}
