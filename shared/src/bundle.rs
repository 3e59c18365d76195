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
    /// These of DynamoDB's actions, on items alone whose partition key is like one of the patterns. For what strangers can
    /// call. IAM knows no condition on the sort key, so who may write one item of a partition may write all of them.
    Items(&'static [&'static str], &'static [&'static str]),
    /// New data keys for secrets of these purposes.
    Seal(&'static [Purpose]),
    /// The data keys of secrets of these purposes.
    Open(&'static [Purpose]),
    /// Putting messages on a queue.
    Send(&'static str),
    /// Sending messages to a queue's dead-letter queue.
    DeadLetter(&'static str),
    /// Counting the messages of queues.
    Count(&'static [&'static str]),
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
/// Jira reports that the app was installed, or that something about the installation changed.
pub const INSTALLED: Route = post("/-/jira_connect/events/installed");
/// Jira reports that the app was uninstalled.
pub const UNINSTALLED: Route = post("/-/jira_connect/events/uninstalled");
/// A GitLab for Jira page asks which OAuth application to sign in with.
pub const OAUTH_APPLICATION_ID: Route = get("/-/jira_connect/oauth_application_id");
/// Somebody wants to create a branch from an issue.
pub const BRANCHES_ROUTE: Route = get("/-/jira_connect/branches/route");
/// Jira loads the page into its frame.
pub const SUBSCRIPTIONS: Route = get("/-/jira_connect/subscriptions");
/// A file of the page.
pub const SUBSCRIPTIONS_ASSETS: Route = get("/-/jira_connect/subscriptions/assets/{version}/{*name}");
/// The page's API.
pub const SUBSCRIPTIONS_API: Route = post("/-/jira_connect/subscriptions/api");
/// GitLab redirects a person here who has signed in.
pub const OAUTH_CALLBACKS: Route = get("/-/jira_connect/oauth_callbacks");
/// Jira searches for linked groups, which it calls workspaces.
pub const WORKSPACES_SEARCH: Route = get("/-/jira_connect/workspaces/search");
/// Jira searches for projects of linked groups, which it calls repositories.
pub const REPOSITORIES_SEARCH: Route = get("/-/jira_connect/repositories/search");
/// Somebody associates one of them with a Jira project.
pub const REPOSITORIES_ASSOCIATE: Route = post("/-/jira_connect/repositories/associate");
/// GitLab delivers an event.
pub const WEBHOOK: Route = post("/webhooks/gitlab/{subscription}");

/// Forge reports an installation or a new major version.
pub const FORGE_LIFECYCLE: Route = post("/forge/lifecycle");
/// Forge reports that the app is about to be uninstalled.
pub const FORGE_UNINSTALL: Route = post("/forge/uninstall");
/// Forge delivers the hourly app system token.
pub const FORGE_TOKEN: Route = post("/forge/token");
/// The app's page in Jira asks what to show, and links and unlinks groups.
pub const FORGE_PAGE: Route = post("/forge/page");

/// The queue between `webhook` and `sync`.
pub const EVENTS_QUEUE: &str = "events";

/// An installation, its site, what leads to them, and the backoffs that end with a new connection.
const FORGE_PARTITIONS: &[&str] = &["FORGE#*", "CLOUD#*", "SITE#*", "SITES", "REST#*"];
/// The queue of the steps of links' plans.
pub const BACKFILL_QUEUE: &str = "backfill";

/// Any of Forge's calls may be the first that comes in, so each can make the installation.
const FORGE_ACCESS: &[Access] = &[
    Access::Items(&["BatchWriteItem", "GetItem", "PutItem", "Query"], FORGE_PARTITIONS),
    Access::Seal(&[Purpose::SystemToken]),
    Access::Outbound,
];

/// What links groups: reads and writes nearly all kinds of records, makes hooks and their secrets, calls GitLab and Jira.
const LINKING_TABLE: Access = Access::Items(
    &["BatchGetItem", "BatchWriteItem", "GetItem", "PutItem", "Query"],
    &[
        "CLIENT#*",
        "FORGE#*",
        "CLOUD#*",
        "SITE#*",
        "SITES",
        "REST#*",
        "SUBSCRIPTION#*",
        "SIGNIN#*",
        "HISTORY#*",
    ],
);
/// The secrets that linking makes.
const LINKING_SEALS: &[Purpose] = &[Purpose::HookSecret, Purpose::GitlabToken, Purpose::SignIn];
/// The secrets that linking uses: to call Jira through any connection, and GitLab as a person or through the link.
const LINKING_OPENS: &[Purpose] = &[
    Purpose::SharedSecret,
    Purpose::ClientSecret,
    Purpose::SystemToken,
    Purpose::GitlabToken,
    Purpose::SignIn,
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
            Access::Items(
                &["BatchWriteItem", "GetItem", "PutItem"],
                &["TOKEN#*", "CLIENT#*", "SITE#*", "SITES", "REST#*"],
            ),
            Access::Seal(&[Purpose::SharedSecret]),
            Access::Outbound,
        ],
    },
    Function {
        name: "uninstalled",
        trigger: Trigger::Http(&[UNINSTALLED]),
        access: &[
            Access::Items(
                &["BatchWriteItem", "GetItem", "PutItem", "Query"],
                &["TOKEN#*", "CLIENT#*", "SITE#*"],
            ),
            Access::Outbound,
        ],
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
            Access::Items(&["BatchGetItem", "GetItem", "Query"], &["CLIENT#*", "SITE#*", "SUBSCRIPTION#*"]),
            Access::Open(&[Purpose::SharedSecret]),
        ],
    },
    Function {
        name: "subscriptions",
        trigger: Trigger::Http(&[SUBSCRIPTIONS, SUBSCRIPTIONS_ASSETS, SUBSCRIPTIONS_API, OAUTH_CALLBACKS]),
        access: &[
            LINKING_TABLE,
            Access::Seal(LINKING_SEALS),
            Access::Open(LINKING_OPENS),
            Access::Count(&[EVENTS_QUEUE, BACKFILL_QUEUE]),
            Access::Send(BACKFILL_QUEUE),
            Access::Outbound,
        ],
    },
    Function {
        name: "repository-search",
        trigger: Trigger::Http(&[WORKSPACES_SEARCH, REPOSITORIES_SEARCH, REPOSITORIES_ASSOCIATE]),
        access: &[
            Access::Items(
                &["BatchGetItem", "GetItem", "Query"],
                &["CLIENT#*", "SITE#*", "REST#*", "SUBSCRIPTION#*"],
            ),
            Access::Open(&[Purpose::SharedSecret, Purpose::GitlabToken]),
            Access::Outbound,
        ],
    },
    Function {
        name: "webhook",
        trigger: Trigger::Http(&[WEBHOOK]),
        access: &[
            Access::Items(
                &["GetItem", "PutItem", "UpdateItem"],
                &["SUBSCRIPTION#*", "ANSWERS#*", "INTAKE#*"],
            ),
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
            LINKING_TABLE,
            Access::Seal(&[Purpose::SystemToken, Purpose::HookSecret, Purpose::GitlabToken, Purpose::SignIn]),
            Access::Open(LINKING_OPENS),
            Access::Count(&[EVENTS_QUEUE, BACKFILL_QUEUE]),
            Access::Send(BACKFILL_QUEUE),
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
            Access::Table(&["BatchGetItem", "BatchWriteItem", "GetItem", "PutItem", "Query", "UpdateItem"]),
            Access::Seal(&[Purpose::HookSecret]),
            Access::Open(&[
                Purpose::SharedSecret,
                Purpose::ClientSecret,
                Purpose::SystemToken,
                Purpose::GitlabToken,
            ]),
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
    fn no_name_or_route_is_listed_twice() {
        let names: HashSet<_> = FUNCTIONS.iter().map(|function| function.name).collect();
        assert_eq!(names.len(), FUNCTIONS.len());
        let routes: Vec<_> = FUNCTIONS
            .iter()
            .flat_map(|function| if let Trigger::Http(routes) = function.trigger { routes } else { &[] })
            .map(|route| (route.method, route.path))
            .collect();
        assert_eq!(routes.iter().collect::<HashSet<_>>().len(), routes.len());
    }

    #[test]
    fn functions_open_to_strangers_reach_only_existing_partitions() {
        let store = include_str!("store/mod.rs");
        let public = FUNCTIONS.iter().filter(|function| matches!(function.trigger, Trigger::Http(_)));
        for access in public.flat_map(|function| function.access) {
            assert!(!matches!(access, Access::Table(_)), "{access:?}");
            let Access::Items(_, partitions) = access else { continue };
            for partition in *partitions {
                let kept = match partition.strip_suffix('*') {
                    Some(beginning) => format!("| `{beginning}<"),
                    None => format!("| `{partition}` |"),
                };
                assert!(store.contains(&kept), "{partition}");
            }
        }
    }
}
