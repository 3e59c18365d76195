//! `gitlab-jira completions`.

use super::{program, run, text};

#[test]
fn every_shell_completes_commands_and_options() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let output = run(program(&["completions", shell]), "");
        let script = text(&output.stdout);
        assert!(output.status.success(), "{shell}");
        for word in ["redrive", "keep-jira-data", "client-secret-stdin"] {
            assert!(script.contains(word), "{shell} does not know {word}");
        }
    }
}

#[test]
fn an_unknown_shell_is_wrong_usage() {
    let output = run(program(&["completions", "dos"]), "");
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("bash"), "{}", text(&output.stderr));
}
