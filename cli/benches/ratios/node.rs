//! Atlassian's own library, when Node is there. Installed into the target folder by name; nothing of it is kept.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

const SCRIPT: &str = r#"
const jwt = require("@atlassian/atlassian-jwt");
const { token, pem, times } = JSON.parse(require("fs").readFileSync(0, "utf8"));
const request = jwt.fromMethodAndUrl("POST", "/events/installed");
const verify = () => {
  const claims = jwt.decodeAsymmetric(token, pem, "RS256");
  if (claims.qsh !== jwt.createQueryStringHash(request)) throw new Error("qsh");
};
for (let i = 0; i < 500; i++) verify();
const started = process.hrtime.bigint();
for (let i = 0; i < times; i++) verify();
console.log(Number(process.hrtime.bigint() - started) / 1e9);
"#;

/// Seconds that `times` verifications take there.
pub(crate) fn lifecycle(token: &str, pem: &str, times: usize) -> Option<f64> {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("atlassian-jwt");
    std::fs::create_dir_all(&folder).ok()?;
    let installed = Command::new("npm")
        .args([
            "install",
            "--silent",
            "--no-audit",
            "--no-fund",
            "--prefix",
            ".",
            "@atlassian/atlassian-jwt@2.2.0",
        ])
        .current_dir(&folder)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    if !installed.is_ok_and(|status| status.success()) {
        return None;
    }
    let mut node = Command::new("node")
        .args(["-e", SCRIPT])
        .current_dir(&folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .ok()?;
    let input = serde_json::json!({"token": token, "pem": pem, "times": times});
    node.stdin.take()?.write_all(input.to_string().as_bytes()).ok()?;
    let output = node.wait_with_output().ok()?;
    String::from_utf8(output.stdout).ok()?.trim().parse().ok()
}
