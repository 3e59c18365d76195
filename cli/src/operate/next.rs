//! The commands that are worth giving after an answer. Which bundle they are for is known only where the answer is printed: the
//! answer itself crosses the control socket.

use shared::domain::SubscriptionId;

use super::text::clean;

/// A command that is worth giving next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// `group link` for a site that was added.
    LinkGroup { site: String },
    /// `explain` for what somebody tried.
    Explain,
    /// `dlq list`.
    ListDeadLetters,
    /// `dlq redrive`.
    Redrive,
    /// `history show`.
    ShowHistory { link: SubscriptionId },
    /// `history resync` for a link without a history.
    BeginHistory { link: SubscriptionId },
    /// `history audit` that removes branches, however many.
    RemoveBranches { link: SubscriptionId },
}

impl Next {
    /// Its line under an answer. `bundle` is what names the bundle on a command line.
    pub(super) fn line(&self, bundle: &[String]) -> String {
        let arguments = self.arguments();
        let words = arguments.iter().chain(bundle).map(|word| clean(quoted(word)));
        format!("Next: gitlab-jira {}", words.collect::<Vec<_>>().join(" "))
    }

    fn arguments(&self) -> Vec<String> {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        match self {
            Self::LinkGroup { site } => words(&["group", "link", "--site", site, "--group", "GROUP"]),
            Self::Explain => words(&["explain", "KEY"]),
            Self::ListDeadLetters => words(&["dlq", "list"]),
            Self::Redrive => words(&["dlq", "redrive"]),
            Self::ShowHistory { link } => words(&["history", "show", &link.to_string()]),
            Self::BeginHistory { link } => words(&["history", "resync", &link.to_string()]),
            Self::RemoveBranches { link } => {
                words(&["history", "audit", &link.to_string(), "--remove-branches"])
            }
        }
    }
}

/// A word that a shell takes as it is.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@%+=,".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::{Bundle, Cli, DataDirectory};

    #[test]
    fn what_comes_next_can_be_typed_as_it_is_printed() {
        let link = SubscriptionId::generate();
        let site = "acme.atlassian.net".to_owned();
        let directory = |is_typed| Bundle::Directory(DataDirectory { path: "/var/lib/app".into(), is_typed });
        for next in [
            Next::LinkGroup { site },
            Next::Explain,
            Next::ListDeadLetters,
            Next::Redrive,
            Next::ShowHistory { link },
            Next::BeginHistory { link },
            Next::RemoveBranches { link },
        ] {
            for (bundle, end) in [
                (directory(false), ""),
                (directory(true), " --data-dir /var/lib/app"),
                (Bundle::Stack("gitlab-for-jira".to_owned()), " --stack gitlab-for-jira"),
            ] {
                let line = next.line(&bundle.options());
                let command = line.strip_prefix("Next: ").expect("a command");
                let parsed = Cli::try_parse_from(command.split(' '));
                assert!(parsed.is_ok() && command.ends_with(end), "{command}: {parsed:?}");
            }
        }
    }

    #[test]
    fn a_shell_takes_each_word_as_one() {
        assert_eq!(quoted("127.0.0.1:8080"), "127.0.0.1:8080");
        assert_eq!(quoted("Ada's data"), r"'Ada'\''s data'");
        assert_eq!(quoted("$HOME"), "'$HOME'");
        assert_eq!(quoted(""), "''");
    }
}
