//! How commands reach the bundle: through the socket of the `serve` that owns the data directory, or, when none runs, by
//! owning the directory for a moment. One JSON line each way.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use shared::clock::SystemClock;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};

use crate::local::{Local, require_served};
use crate::operate::{Answer, Command, Operator, Refusal};
use crate::progress::shown;
use crate::settings::Settings;
use crate::terminal::warn;

/// Name of the socket in the data directory.
const SOCKET: &str = "control.sock";

/// Commands are small, and answers are lists.
const MAX_LINE: u64 = 16 * 1024 * 1024;

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Reply {
    Done(Answer),
    Refused(Refusal),
}

/// Listens on the socket of `directory`, which only its owner may open: from its first moment by the program's umask.
pub fn listen(directory: &Path) -> anyhow::Result<UnixListener> {
    use std::os::unix::fs::PermissionsExt as _;
    let path = directory.join(SOCKET);
    // Left by a process that was killed; the lock says that it is gone.
    if path.exists() {
        std::fs::remove_file(&path).context("the old socket can't be removed")?;
    }
    let listener = UnixListener::bind(&path).with_context(|| format!("{} can't be made", path.display()))?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Answers commands until the process ends.
pub async fn answer(listener: UnixListener, operator: Arc<Operator>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let operator = operator.clone();
                tokio::spawn(async move {
                    if let Err(error) = answer_one(stream, &operator).await {
                        tracing::warn!(%error, "a command was not answered");
                    }
                });
            }
            Err(error) => {
                tracing::error!(%error, "the control socket failed");
                tokio::time::sleep(std::time::Duration::from_secs(1)).await;
            }
        }
    }
}

async fn answer_one(mut stream: UnixStream, operator: &Operator) -> anyhow::Result<()> {
    let (reader, mut writer) = stream.split();
    let line = read_line(reader).await?;
    let answer = match serde_json::from_str::<Command>(&line) {
        Ok(command) => match operator.run(command).await {
            Ok(answer) => Reply::Done(answer),
            Err(refusal) => Reply::Refused(refusal),
        },
        Err(_) => {
            let sentence =
                "The running gitlab-jira does not know this command: it is of another version.".to_owned();
            Reply::Refused(Refusal { sentence })
        }
    };
    write_line(&mut writer, &answer).await
}

/// Carries out a command on `directory`.
pub async fn command(directory: &Path, command: Command) -> anyhow::Result<Result<Answer, Refusal>> {
    match UnixStream::connect(directory.join(SOCKET)).await {
        Ok(stream) => {
            // Whatever is wrong with the file, the process that runs knows its settings.
            if let Ok(Some((_, different))) = Settings::kept(directory, &environment) {
                note_difference("runs", &different);
            }
            let status = async || {
                let stream = UnixStream::connect(directory.join(SOCKET)).await.ok()?;
                ask(stream, &Command::Status).await.ok()
            };
            shown(&command, ask(stream, &command), status).await
        }
        Err(_) => {
            require_served(directory)?;
            let settings = settings(directory)?;
            let local = Local::open(settings, directory, Arc::new(SystemClock)).await?;
            let status = async || Some(local.operator.run(Command::Status).await);
            Ok(shown(&command.clone(), local.operator.run(command), status).await)
        }
    }
}

/// What `serve` last ran with in `directory`. An earlier release kept no settings: then what the environment says.
fn settings(directory: &Path) -> anyhow::Result<Settings> {
    let Some((settings, different)) = Settings::kept(directory, &environment)? else {
        anyhow::ensure!(
            environment("BASE_URL").is_some_and(|url| !url.trim().is_empty()),
            "{} has no settings yet: start `gitlab-jira serve` once, or set its variables (`gitlab-jira serve --help`).",
            directory.display()
        );
        return Settings::from_env("");
    };
    note_difference("last ran", &different);
    Ok(settings)
}

fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Says which variables `serve` has other values of.
fn note_difference(runs: &str, variables: &[String]) {
    if !variables.is_empty() {
        warn(format_args!(
            "Note: `gitlab-jira serve` {runs} with other values of {}, which are used. Restart it to change them.",
            variables.join(", ")
        ));
    }
}

async fn ask(mut stream: UnixStream, command: &Command) -> anyhow::Result<Result<Answer, Refusal>> {
    let (reader, mut writer) = stream.split();
    write_line(&mut writer, command).await?;
    let line = read_line(reader).await?;
    Ok(match serde_json::from_str(&line).context("the running gitlab-jira gives no answer")? {
        Reply::Done(answer) => Ok(answer),
        Reply::Refused(refusal) => Err(refusal),
    })
}

async fn read_line(reader: impl tokio::io::AsyncRead + Unpin) -> anyhow::Result<String> {
    let mut line = String::new();
    BufReader::new(reader.take(MAX_LINE)).read_line(&mut line).await?;
    Ok(line)
}

async fn write_line(
    writer: &mut (impl tokio::io::AsyncWrite + Unpin),
    value: &impl Serialize,
) -> anyhow::Result<()> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    writer.write_all(&line).await?;
    Ok(writer.flush().await?)
}
