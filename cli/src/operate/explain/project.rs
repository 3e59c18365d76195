//! What `explain` says of a project: which link covers it, and how far that link's history has come there.

use shared::domain::{HistorySlot, ProjectHistory, Subscription, lies_under};
use shared::health::{history_task_name, project_history_remedy};

use super::super::{Operator, Refusal};

impl Operator {
    /// Sentences about the project with the full path `path` and the links of a site.
    pub(super) async fn explain_project(
        &self,
        path: &str,
        host: &str,
        links: &[Subscription],
    ) -> Result<Vec<String>, Refusal> {
        let covering = links.iter().filter(|link| lies_under(path, &link.group_path));
        // Of nested groups the nearest sends.
        let Some(link) = covering.max_by_key(|link| link.group_path.len()) else {
            let group = path.rsplit_once('/').map_or(path, |(group, _)| group);
            return Ok(vec![format!(
                "No link to {host} covers {path}: link {group} or a group above it with `gitlab-jira group link`."
            )]);
        };
        let mut notes = vec![format!("The link {} of {} covers {path}.", link.id, link.group_path)];
        let projects = self.store.history_projects(HistorySlot::history(link.id)).await?;
        match projects.iter().find(|project| project.project.path == path) {
            Some(project) => notes.extend(reached(project)),
            None => notes.push(format!(
                "History has not reached {path}: it is newer than the last one, archived, or still to come. `gitlab-jira history show {}` says how far it is.",
                link.id
            )),
        }
        Ok(notes)
    }
}

/// How far history has come in a project.
fn reached(project: &ProjectHistory) -> Vec<String> {
    let path = &project.project.path;
    let (keyed, sent) =
        project.tasks.iter().fold((0, 0), |(keyed, sent), task| (keyed + task.keyed, sent + task.sent));
    let state = match project.current() {
        None => format!("The history of {path} was sent: {sent} of {keyed} that name issues."),
        Some(task) => format!(
            "The history of {path} is under way at its {}: {sent} of {keyed} that name issues are sent.",
            history_task_name(task.task)
        ),
    };
    [state].into_iter().chain(project_history_remedy(project)).collect()
}
