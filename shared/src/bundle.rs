//! The table of functions: a row per function with what triggers it and what it may touch. Routers, descriptor URLs and
//! the local process are built from it, and tests hold them and the template to it. What a function does belongs to its
//! package.

use std::time::Duration;

use crate::envelope::Purpose;

/// Where everything that Jira calls lives below `BASE_URL`. GitLab's own paths, so that a reverse proxy in front of a
/// GitLab can route them here and an install keeps its URLs.
pub const CONNECT_BASE: &str = "/-/jira_connect";

/// A function of the bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Function {
    /// Name of its package, folder and binary.
    pub name: &'static str,
    /// What starts it.
    pub trigger: Trigger,
    /// What its role allows, and nothing else.
    pub access: &'static [Access],
}

/// Something that a function may touch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// These of DynamoDB's actions on the table. What a transaction writes counts as written by itself.
    Table(&'static [&'static str]),
    /// New data keys for secrets of these purposes.
    Seal(&'static [Purpose]),
    /// The data keys of secrets of these purposes.
    Open(&'static [Purpose]),
    /// Putting messages on a queue.
    Send(&'static str),
    /// Sending messages to a queue's dead-letter queue.
    DeadLetter(&'static str),
    /// Hosts that are named from outside: a GitLab, a Jira site, a key server. Such a function can be put into a private
    /// network.
    Outbound,
}

/// What starts a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// HTTP requests.
    Http(&'static [Route]),
    /// Messages of a queue.
    Queue(&'static str),
    /// Time, whenever this much of it has passed; whole minutes.
    Schedule(Duration),
}

/// An HTTP route, in axum's syntax.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// The method.
    pub method: &'static str,
    /// The path below `BASE_URL`.
    pub path: &'static str,
}

const fn get(path: &'static str) -> Route {
    Route { method: "GET", path }
}

const fn post(path: &'static str) -> Route {
    Route { method: "POST", path }
}

/// Jira reads it to learn what the app is.
pub const DESCRIPTOR: Route = get("/-/jira_connect/app_descriptor.json");
/// The picture in Jira's panels.
pub const LOGO: Route = get("/-/jira_connect/logo.svg");
/// Jira says that the app was installed, or that something about the install changed.
pub const INSTALLED: Route = post("/-/jira_connect/events/installed");
/// Jira says that the app was uninstalled.
pub const UNINSTALLED: Route = post("/-/jira_connect/events/uninstalled");
/// A GitLab for Jira page asks which OAuth application to sign in with.
pub const OAUTH_APPLICATION_ID: Route = get("/-/jira_connect/oauth_application_id");
/// Somebody wants to create a branch from an issue.
pub const BRANCHES_ROUTE: Route = get("/-/jira_connect/branches/route");
/// GitLab delivers an event.
pub const WEBHOOK: Route = post("/webhooks/gitlab/{subscription}");

/// Forge tells of an install or a new major version.
pub const FORGE_LIFECYCLE: Route = post("/forge/lifecycle");
/// Forge tells that the app is about to be uninstalled.
pub const FORGE_UNINSTALL: Route = post("/forge/uninstall");
/// Forge brings the hour's token.
pub const FORGE_TOKEN: Route = post("/forge/token");
/// The app's page in Jira asks what to show.
pub const FORGE_PAGE: Route = post("/forge/page");

/// The queue between `webhook` and `sync`.
pub const EVENTS_QUEUE: &str = "events";

/// The queue of the steps that are done about links.
pub const BACKFILL_QUEUE: &str = "backfill";

/// Any of Forge's calls may be the first that comes in, so each can make the installation.
const FORGE_ACCESS: &[Access] = &[
    Access::Table(&["BatchWriteItem", "GetItem", "PutItem", "Query"]),
    Access::Seal(&[Purpose::SystemToken]),
    Access::Outbound,
];

/// How often housekeeping runs: often enough for an alarm that a person answers, and 3,000 short runs a month.
pub const HOUSEKEEPING: Duration = Duration::from_secs(15 * 60);

/// The functions.
pub const FUNCTIONS: &[Function] = &[
    Function { name: "descriptor", trigger: Trigger::Http(&[DESCRIPTOR, LOGO]), access: &[] },
    Function {
        name: "installed",
        trigger: Trigger::Http(&[INSTALLED]),
        access: &[
            Access::Table(&["BatchWriteItem", "GetItem", "PutItem"]),
            Access::Seal(&[Purpose::SharedSecret]),
            Access::Outbound,
        ],
    },
    Function {
        name: "uninstalled",
        trigger: Trigger::Http(&[UNINSTALLED]),
        access: &[Access::Table(&["BatchWriteItem", "GetItem", "PutItem", "Query"]), Access::Outbound],
    },
    Function {
        name: "oauth-application-id",
        trigger: Trigger::Http(&[
            OAUTH_APPLICATION_ID,
            Route { method: "OPTIONS", path: OAUTH_APPLICATION_ID.path },
        ]),
        access: &[],
    },
    Function {
        name: "create-branch",
        trigger: Trigger::Http(&[BRANCHES_ROUTE]),
        access: &[
            Access::Table(&["BatchGetItem", "GetItem", "Query"]),
            Access::Open(&[Purpose::SharedSecret]),
        ],
    },
    Function {
        name: "webhook",
        trigger: Trigger::Http(&[WEBHOOK]),
        access: &[
            Access::Table(&["GetItem", "PutItem", "UpdateItem"]),
            Access::Open(&[Purpose::HookSecret]),
            Access::Send(EVENTS_QUEUE),
        ],
    },
    Function {
        name: "forge-lifecycle",
        trigger: Trigger::Http(&[FORGE_LIFECYCLE, FORGE_UNINSTALL]),
        access: FORGE_ACCESS,
    },
    Function { name: "forge-token", trigger: Trigger::Http(&[FORGE_TOKEN]), access: FORGE_ACCESS },
    Function {
        name: "forge-page",
        trigger: Trigger::Http(&[FORGE_PAGE]),
        access: &[
            Access::Table(&["BatchGetItem", "BatchWriteItem", "GetItem", "PutItem", "Query"]),
            Access::Seal(&[Purpose::SystemToken]),
            Access::Outbound,
        ],
    },
    Function {
        name: "sync",
        trigger: Trigger::Queue(EVENTS_QUEUE),
        access: &[
            Access::Table(&["BatchGetItem", "BatchWriteItem", "GetItem", "PutItem", "Query"]),
            Access::Open(&[
                Purpose::SharedSecret,
                Purpose::ClientSecret,
                Purpose::SystemToken,
                Purpose::HookSecret,
                Purpose::GitlabToken,
            ]),
            Access::Send(EVENTS_QUEUE),
            Access::DeadLetter(EVENTS_QUEUE),
            Access::Outbound,
        ],
    },
    Function {
        name: "backfill",
        trigger: Trigger::Queue(BACKFILL_QUEUE),
        access: &[
            Access::Table(&["BatchWriteItem", "GetItem", "PutItem"]),
            Access::Seal(&[Purpose::HookSecret]),
            Access::Open(&[Purpose::GitlabToken]),
            Access::Send(BACKFILL_QUEUE),
            Access::DeadLetter(BACKFILL_QUEUE),
            Access::Outbound,
        ],
    },
    Function {
        name: "housekeeping",
        trigger: Trigger::Schedule(HOUSEKEEPING),
        access: &[
            Access::Table(&["BatchGetItem", "GetItem", "PutItem", "Query"]),
            Access::Seal(&[Purpose::HookSecret, Purpose::GitlabToken]),
            Access::Open(&[Purpose::GitlabToken]),
            Access::Send(BACKFILL_QUEUE),
            Access::Outbound,
        ],
    },
];

/// `path` of a Connect route as the descriptor names it: below the app's base URL.
#[must_use]
pub fn below_connect_base(route: Route) -> &'static str {
    route.path.strip_prefix(CONNECT_BASE).unwrap_or(route.path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn no_name_or_route_stands_twice() {
        let names: HashSet<_> = FUNCTIONS.iter().map(|function| function.name).collect();
        assert_eq!(names.len(), FUNCTIONS.len());
        let routes: Vec<_> = FUNCTIONS
            .iter()
            .flat_map(|function| if let Trigger::Http(routes) = function.trigger { routes } else { &[] })
            .map(|route| (route.method, route.path))
            .collect();
        assert_eq!(routes.iter().collect::<HashSet<_>>().len(), routes.len());
    }
}
