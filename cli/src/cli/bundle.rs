//! The options that name a bundle: a data directory, or a stack. Written out, because what is typed wins over the environment,
//! which clap's own conflicts do not tell apart.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::OsStringValueParser;
use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Args, Command, Error, FromArgMatches, ValueHint};

/// The ids of the options.
const DATA_DIR: &str = "data_dir";
const STACK: &str = "stack";

/// The data directory where none is named.
const DEFAULT: &str = ".data";

/// A data directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataDirectory {
    /// Where it is.
    pub path: PathBuf,
    /// Whether the command line names it, not the environment or the default.
    pub is_typed: bool,
}

/// A bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bundle {
    /// One process on a data directory.
    Directory(DataDirectory),
    /// A CloudFormation stack.
    Stack(String),
}

impl Bundle {
    /// The options that another command line needs to mean the same bundle.
    #[must_use]
    pub fn options(&self) -> Vec<String> {
        match self {
            Self::Directory(DataDirectory { path, is_typed: true }) => {
                vec!["--data-dir".to_owned(), path.display().to_string()]
            }
            Self::Directory(_) => Vec::new(),
            Self::Stack(name) => vec!["--stack".to_owned(), name.clone()],
        }
    }
}

impl Args for DataDirectory {
    fn augment_args(command: Command) -> Command {
        command.arg(
            Arg::new(DATA_DIR)
                .long("data-dir")
                .env("GITLAB_JIRA_DATA_DIR")
                .default_value(DEFAULT)
                .value_name("DATA_DIR")
                // Takes an empty value, which in the environment is as none.
                .value_parser(OsStringValueParser::new())
                .value_hint(ValueHint::DirPath)
                .help("The bundle's data directory; `serve` makes it if it is missing"),
        )
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for DataDirectory {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let is_typed = matches.value_source(DATA_DIR) == Some(ValueSource::CommandLine);
        let path = matches.get_one::<OsString>(DATA_DIR).filter(|path| !path.is_empty());
        if is_typed && path.is_none() {
            return Err(Error::raw(ErrorKind::InvalidValue, "--data-dir is empty: name a directory"));
        }
        Ok(Self { path: path.map_or_else(|| DEFAULT.into(), PathBuf::from), is_typed })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Args for Bundle {
    fn augment_args(command: Command) -> Command {
        DataDirectory::augment_args(command).arg(
            Arg::new(STACK)
                .long("stack")
                .value_name("STACK")
                .help("The bundle's CloudFormation stack instead, with your own AWS credentials"),
        )
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Bundle {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let directory = DataDirectory::from_arg_matches(matches)?;
        match matches.get_one::<String>(STACK) {
            None => Ok(Self::Directory(directory)),
            Some(_) if directory.is_typed => Err(Error::raw(
                ErrorKind::ArgumentConflict,
                "--stack and --data-dir each name a bundle: give one of them",
            )),
            Some(stack) => Ok(Self::Stack(stack.clone())),
        }
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}
