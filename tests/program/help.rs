//! What the program says of itself.

use clap::{Command, CommandFactory as _};

use super::{program, run, text};

/// Calls `check` with every command that does something, and how it is typed.
fn commands(command: &Command, typed: &str, check: &mut impl FnMut(&Command, &str)) {
    if !command.has_subcommands() {
        check(command, typed);
    }
    for inner in command.get_subcommands() {
        commands(inner, &format!("{typed} {}", inner.get_name()), check);
    }
}

#[test]
fn every_command_has_an_example_that_can_be_parsed() {
    let mut checked = 0;
    commands(&gitlab_jira::cli::Cli::command(), "gitlab-jira", &mut |command, typed| {
        let help = [command.get_after_help(), command.get_after_long_help()];
        let help = help.map(|help| help.map(ToString::to_string).unwrap_or_default());
        let example =
            help.iter().find_map(|help| help.lines().find_map(|line| line.strip_prefix("Example: ")));
        let example = example.unwrap_or_else(|| panic!("{typed} has no example"));
        let words = example.split(' ').skip_while(|word| word.contains('='));
        let words: Vec<&str> = words.take_while(|word| !["<", ">"].contains(word)).collect();
        assert!(words.join(" ").starts_with(typed), "{typed}: {example}");
        let parsed = gitlab_jira::cli::Cli::command().try_get_matches_from(words);
        assert!(parsed.is_ok(), "{example}: {parsed:?}");
        checked += 1;
    });
    assert!(checked > 20, "{checked}");
}

#[test]
fn lists_of_commands_have_short_lines() {
    let output = run(program(&["history", "--help"]), "");
    let audit = text(&output.stdout).lines().find(|line| line.trim_start().starts_with("audit"));
    let audit = audit.unwrap().trim_start();
    assert!(audit.contains("sends what is missing") && audit.len() < 100, "{audit}");
    let long = run(program(&["history", "audit", "--help"]), "");
    assert!(text(&long.stdout).contains("under two weeks old"), "{}", text(&long.stdout));
}

#[test]
fn serve_lists_its_settings_with_their_defaults() {
    let output = run(program(&["serve", "--help"]), "");
    let help = text(&output.stdout);
    for setting in gitlab_jira::settings::SETTINGS {
        let line = help.lines().find(|line| line.trim_start().starts_with(setting.name));
        let line = line.unwrap_or_else(|| panic!("no {}", setting.name));
        assert!(
            line.contains(setting.meaning) && line.ends_with(&format!("[{}]", setting.default)),
            "{line}"
        );
    }
}
