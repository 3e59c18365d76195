//! What the program says of itself.

use super::{program, run, text};

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
