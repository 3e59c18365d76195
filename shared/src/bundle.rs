//! The table of functions: a row per function with what triggers it. Routers, descriptor URLs and the local process are
//! built from it, and tests hold them to it. What a function does belongs to its package.

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
}

/// What starts a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// HTTP requests.
    Http(&'static [Route]),
    /// Messages of a queue.
    Queue(&'static str),
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

/// The queue between `webhook` and `sync`.
pub const EVENTS_QUEUE: &str = "events";

/// The functions.
pub const FUNCTIONS: &[Function] = &[
    Function { name: "descriptor", trigger: Trigger::Http(&[DESCRIPTOR, LOGO]) },
    Function { name: "installed", trigger: Trigger::Http(&[INSTALLED]) },
    Function { name: "uninstalled", trigger: Trigger::Http(&[UNINSTALLED]) },
    Function {
        name: "oauth-application-id",
        trigger: Trigger::Http(&[
            OAUTH_APPLICATION_ID,
            Route { method: "OPTIONS", path: OAUTH_APPLICATION_ID.path },
        ]),
    },
    Function { name: "create-branch", trigger: Trigger::Http(&[BRANCHES_ROUTE]) },
    Function { name: "webhook", trigger: Trigger::Http(&[WEBHOOK]) },
    Function { name: "sync", trigger: Trigger::Queue(EVENTS_QUEUE) },
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
