//! Errors as the program prints them: a sentence for a person, or with `--json` an object for a script. A command line that
//! can't be understood is such an error, too.

use std::ffi::OsString;

use clap::error::ErrorKind;
use serde_json::{Value, json};

/// Where what is wrong with a command line ends, and clap's help about it begins.
const HELP: [&str; 2] = ["\n\nUsage:", "\n\nFor more information"];

/// Whether these arguments ask for JSON. They may be no command line at all, so that they can't be parsed for it.
#[must_use]
pub fn wants_json(arguments: &[OsString]) -> bool {
    arguments.iter().take_while(|argument| *argument != "--").any(|argument| argument == "--json")
}

/// What a script reads of an error: one line.
#[must_use]
pub fn json(message: &str) -> Value {
    json!({ "error": { "message": message } })
}

/// What is wrong with a command line, in one line without the help; `None` where clap has no error but an answer.
#[must_use]
pub fn wrong_usage(error: &clap::Error) -> Option<String> {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => None,
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => Some("the command is incomplete".to_owned()),
        _ => {
            let text = error.render().to_string();
            let end = HELP.iter().filter_map(|help| text.find(help)).min();
            let sentence = text.get(..end.unwrap_or(text.len())).unwrap_or(&text);
            let parts = sentence.trim_start_matches("error:").split("\n\n");
            let parts = parts.map(|part| part.split_whitespace().collect::<Vec<_>>().join(" "));
            Some(parts.collect::<Vec<_>>().join("; "))
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::Cli;

    fn said(arguments: &[&str]) -> Option<String> {
        let arguments = ["gitlab-jira"].iter().chain(arguments);
        wrong_usage(&Cli::try_parse_from(arguments).expect_err("wrong usage"))
    }

    #[test]
    fn wrong_usage_is_one_sentence_without_help() {
        let sentence = |arguments: &[&str]| said(arguments).expect("an error");
        assert_eq!(
            sentence(&["site", "recheck"]),
            "the following required arguments were not provided: --site <SITE>"
        );
        assert_eq!(
            sentence(&["status", "--jsno"]),
            "unexpected argument '--jsno' found; tip: a similar argument exists: '--json'"
        );
        assert_eq!(sentence(&["site"]), "the command is incomplete");
        assert_eq!(said(&["site", "--help"]), None);
        assert_eq!(said(&["--version"]), None);
    }

    #[test]
    fn json_is_asked_for_by_an_option_only() {
        let wants = |arguments: &[&str]| {
            wants_json(&arguments.iter().map(|argument| OsString::from(*argument)).collect::<Vec<_>>())
        };
        assert!(wants(&["gitlab-jira", "status", "--json", "--unknown"]));
        assert!(!wants(&["gitlab-jira", "explain", "--", "--json"]));
    }
}
