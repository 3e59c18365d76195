//! Prompts: what commands ask for, at a terminal and without one.

use rexpect::session::spawn_command;

use super::{program, run, text};

/// How long the program may take to say something.
const TIMEOUT: Option<u64> = Some(30_000);

const SITE_ADD: [&str; 7] =
    ["site", "add", "--site", "acme.atlassian.net", "--client-id", "id", "--client-secret-stdin"];

const GROUP_LINK: [&str; 6] = ["group", "link", "--site", "acme.atlassian.net", "--group", "acme"];

#[test]
fn a_secret_that_is_typed_is_not_shown() {
    // Refused after the secret was read, because there is no such directory.
    for (arguments, question) in [
        (&SITE_ADD[..], "Client secret: "),
        (&SITE_ADD[..6], "Client secret: "),
        (&GROUP_LINK, "GitLab token: "),
    ] {
        let arguments = [arguments, &["--data-dir", "/dev/null/none"]].concat();
        let mut terminal = spawn_command(program(&arguments), TIMEOUT).unwrap();
        terminal.exp_string(question).unwrap();
        terminal.send_line("typed-by-hand").unwrap();
        let rest = terminal.exp_eof().unwrap();
        assert!(rest.contains("/dev/null/none"), "{arguments:?}: {rest}");
        assert!(!rest.contains("typed-by-hand"), "{arguments:?}: {rest}");
    }
}

#[test]
fn a_script_says_that_the_secret_is_on_standard_input() {
    for (arguments, option) in
        [(&SITE_ADD[..6], "--client-secret-stdin"), (&GROUP_LINK, "--gitlab-token-stdin")]
    {
        let output = run(program(arguments), "secret\n");
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(text(&output.stderr).contains(option), "{}", text(&output.stderr));
    }
}

#[test]
fn a_secret_that_is_missing_is_named() {
    let output = run(program(&SITE_ADD), " \n");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(text(&output.stderr), "the secret is expected on standard input\n");
}

/// Commands that ask before they do what can't be undone, and what they say that it is.
const ASKING: [(&[&str], &str); 3] = [
    (&["group", "unlink", "01KAMV7Q3N8R5T2W4X6Y9Z0ABC"], "from Jira what no other link covers"),
    (&["site", "remove", "--site", "acme.atlassian.net"], "the site acme.atlassian.net"),
    (&["dlq", "redrive"], "every dead-lettered message"),
];

#[test]
fn commands_that_cannot_be_undone_ask_for_confirmation() {
    for (arguments, consequence) in ASKING {
        for (answer, done) in [("n", false), ("", false), ("y", true)] {
            let arguments = [arguments, &["--data-dir", "/dev/null/none"]].concat();
            let mut terminal = spawn_command(program(&arguments), TIMEOUT).unwrap();
            let prompt = terminal.exp_string("Continue? [y/N] ").unwrap();
            assert!(prompt.contains(consequence), "{prompt}");
            terminal.send_line(answer).unwrap();
            let rest = terminal.exp_eof().unwrap();
            // Refused after the prompt, because there is no such directory.
            assert_eq!(rest.contains("/dev/null/none"), done, "{arguments:?} {answer}: {rest}");
            assert_eq!(rest.contains("Nothing was changed."), !done, "{arguments:?} {answer}: {rest}");
        }
    }
}

#[test]
fn a_script_confirms_with_yes() {
    for (arguments, _) in ASKING {
        let arguments = [arguments, &["--data-dir", "/dev/null/none"]].concat();
        let refused = run(program(&arguments), "y\n");
        assert_eq!(refused.status.code(), Some(2), "{arguments:?}");
        assert!(text(&refused.stderr).contains("--yes"), "{}", text(&refused.stderr));
        let confirmed = run(program(&[&arguments[..], &["--yes"]].concat()), "");
        assert_eq!(confirmed.status.code(), Some(1), "{arguments:?}");
        assert!(text(&confirmed.stderr).contains("/dev/null/none"), "{}", text(&confirmed.stderr));
    }
}

#[test]
fn chosen_messages_are_redriven_without_confirmation() {
    let output = run(program(&["dlq", "redrive", "ID", "--data-dir", "/dev/null/none"]), "");
    assert!(text(&output.stderr).contains("/dev/null/none"), "{}", text(&output.stderr));
}
