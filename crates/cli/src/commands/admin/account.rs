//! `restock admin account`.

use std::io::{BufRead, IsTerminal};

use clap::{Args, Subcommand};
use restock_provider::account::{Secret, random_password};
use restock_provider::admin::{AccountRow, AdminAnswer, AdminOperation, PermissionRow};
use serde_json::json;

use super::text::{ask, permission, permissions, unexpected};
use crate::commands::Session;
use crate::failure::{Failure, Kind};
use crate::output::{Done, Table, shown};

/// The longest password that is read, in bytes.
const PASSWORD_BYTES_MAX: u64 = 1_024;

/// Make, list, change and remove accounts
#[derive(Debug, Subcommand)]
pub(crate) enum Account {
    Add(Add),
    List(List),
    Passwd(Passwd),
    Disable(Disable),
    Enable(Enable),
    Remove(Remove),
}

impl Account {
    pub(crate) fn run(self, session: &Session) -> Result<Done, Failure> {
        match self {
            Self::Add(c) => c.run(session),
            Self::List(c) => c.run(session),
            Self::Passwd(c) => c.run(session),
            Self::Disable(c) => disable(session, "restock admin account disable", c.name, true),
            Self::Enable(c) => disable(session, "restock admin account enable", c.name, false),
            Self::Remove(c) => c.run(session),
        }
    }
}

/// Make an account
///
/// Its password is read from standard input: at a terminal it is asked for twice and not shown, else it
/// is the first line. No argument carries a password, because others can read arguments.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  restock admin account add anna --role 'Full Administrator'
  printf '%s\\n' \"$PASSWORD\" | restock admin account add builds --role SMS0009R@North
  restock admin account add robot --no-password --json")]
pub(crate) struct Add {
    /// Name to sign in with, such as anna or CORP\anna
    name: String,

    /// Name that people see
    #[arg(long, value_name = "TEXT", default_value = "")]
    display_name: String,

    /// A role, and the scope it is for; without a scope for all objects. Can be given again
    #[arg(long = "role", value_name = "ROLE[@SCOPE]", value_parser = permission)]
    roles: Vec<PermissionRow>,

    /// Make a random password and print it once
    #[arg(long, conflicts_with = "no_password")]
    random_password: bool,

    /// Only tokens sign in
    #[arg(long)]
    no_password: bool,
}

impl Add {
    fn run(self, session: &Session) -> Result<Done, Failure> {
        let (password, made) = password(session, self.random_password, self.no_password)?;
        let operation = AdminOperation::AddAccount {
            name: self.name,
            display_name: self.display_name,
            password,
            permissions: self.roles,
        };
        match ask(session, "restock admin account add", operation)? {
            AdminAnswer::Account(row) => {
                let mut text = format!("Account {} is made.\n", shown(&row.name));
                if row.permissions.is_empty() {
                    text.push_str("It may do nothing yet.\nNext: restock admin grant\n");
                }
                Ok(with_password(&row, made.as_ref(), text))
            }
            other => Err(unexpected(&other)),
        }
    }
}

/// List the accounts with their roles
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  restock admin account list
  restock admin account list --json")]
pub(crate) struct List {}

impl List {
    fn run(self, session: &Session) -> Result<Done, Failure> {
        match ask(session, "restock admin account list", AdminOperation::ListAccounts)? {
            AdminAnswer::Accounts(rows) => {
                let mut table = Table::new(&["Name", "Signs in with", "Roles"]);
                for row in &rows {
                    let how = match (row.is_disabled, row.has_password) {
                        (true, _) => "nothing: disabled",
                        (false, true) => "password, tokens",
                        (false, false) => "tokens",
                    };
                    let how = if row.has_ntlm && !row.is_disabled {
                        format!("{how}, NTLM")
                    } else {
                        how.to_owned()
                    };
                    table.row([shown(&row.name), how, permissions(row)], None);
                }
                Ok(Done::with(&rows, table.text(session.output.style, "No accounts.")))
            }
            other => Err(unexpected(&other)),
        }
    }
}

/// Set the password of an account
///
/// Whoever is signed in with the old one is not from then on. The password is read as `add` reads it.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  restock admin account passwd anna
  restock admin account passwd anna --random-password --json")]
pub(crate) struct Passwd {
    /// Name of the account
    name: String,

    /// Make a random password and print it once
    #[arg(long, conflicts_with = "no_password")]
    random_password: bool,

    /// Take the password away: only tokens sign in
    #[arg(long)]
    no_password: bool,
}

impl Passwd {
    fn run(self, session: &Session) -> Result<Done, Failure> {
        let (password, made) = password(session, self.random_password, self.no_password)?;
        let operation = AdminOperation::SetPassword { account: self.name, password };
        match ask(session, "restock admin account passwd", operation)? {
            AdminAnswer::Account(row) => {
                let what = if row.has_password { "has another password" } else { "has no password" };
                let text = format!("Account {} {what}.\n", shown(&row.name));
                Ok(with_password(&row, made.as_ref(), text))
            }
            other => Err(unexpected(&other)),
        }
    }
}

/// Let an account sign in no more
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  restock admin account disable anna")]
pub(crate) struct Disable {
    /// Name of the account
    name: String,
}

/// Let a disabled account sign in again
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  restock admin account enable anna")]
pub(crate) struct Enable {
    /// Name of the account
    name: String,
}

fn disable(session: &Session, command: &str, account: String, is_disabled: bool) -> Result<Done, Failure> {
    match ask(session, command, AdminOperation::SetDisabled { account, is_disabled })? {
        AdminAnswer::Account(row) => {
            let may = if row.is_disabled { "may sign in no more" } else { "may sign in" };
            Ok(Done::with(&row, format!("Account {} {may}.\n", shown(&row.name))))
        }
        other => Err(unexpected(&other)),
    }
}

/// Remove an account with its roles and tokens
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  restock admin account remove anna")]
pub(crate) struct Remove {
    /// Name of the account
    name: String,
}

impl Remove {
    fn run(self, session: &Session) -> Result<Done, Failure> {
        let operation = AdminOperation::RemoveAccount { account: self.name };
        match ask(session, "restock admin account remove", operation)? {
            AdminAnswer::Account(row) => {
                Ok(Done::with(&row, format!("Account {} is removed.\n", shown(&row.name))))
            }
            other => Err(unexpected(&other)),
        }
    }
}

/// The password the account gets, and beside it one that was made here and has to be shown.
fn password(
    session: &Session,
    is_random: bool,
    is_none: bool,
) -> Result<(Option<Secret>, Option<Secret>), Failure> {
    if is_random {
        let made =
            random_password().map_err(|e| Failure::failed(format!("drawing a random password: {e}")))?;
        return Ok((Some(made.clone()), Some(made)));
    }
    let read = if is_none { None } else { Some(read_password(session)?) };
    Ok((read, None))
}

/// The account, and the password that was made for it.
fn with_password(row: &AccountRow, made: Option<&Secret>, text: String) -> Done {
    match made {
        None => Done::with(row, text),
        Some(made) => {
            let mut document = json!(row);
            document["password"] = json!(made.reveal());
            Done::with(&document, format!("{text}Password: {}\n", made.reveal()))
        }
    }
}

/// The password on standard input; at a terminal it is asked for twice.
fn read_password(session: &Session) -> Result<Secret, Failure> {
    let input = std::io::stdin();
    if !input.is_terminal() {
        return line();
    }
    let _quiet = Quiet::new()?;
    session.output.talk("Password: ");
    let first = line()?;
    session.output.talk("\nThe same again: ");
    let second = line()?;
    session.output.talk("\n");
    if first == second { Ok(first) } else { Err(Failure::usage("PASSWORD: the two are not the same")) }
}

fn line() -> Result<Secret, Failure> {
    use std::io::Read as _;
    let mut text = String::new();
    let read = std::io::stdin().lock().take(PASSWORD_BYTES_MAX + 2).read_line(&mut text);
    read.map_err(|e| Failure::caused(Kind::Failed, "reading the password", &e))?;
    let text = text.trim_end_matches(['\r', '\n']);
    if text.is_empty() {
        return Err(Failure::usage("PASSWORD: there is no password on standard input")
            .hint("--random-password, or --no-password"));
    }
    Ok(Secret::new(text))
}

/// A terminal that does not show what is typed, until dropped.
struct Quiet(rustix::termios::Termios);

impl Quiet {
    fn new() -> Result<Self, Failure> {
        use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
        let fail = |e: rustix::io::Errno| Failure::caused(Kind::Failed, "hiding the password", &e);
        let before = tcgetattr(std::io::stdin()).map_err(fail)?;
        let mut quiet = before.clone();
        quiet.local_modes.remove(LocalModes::ECHO);
        tcsetattr(std::io::stdin(), OptionalActions::Now, &quiet).map_err(fail)?;
        Ok(Self(before))
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        let set =
            rustix::termios::tcsetattr(std::io::stdin(), rustix::termios::OptionalActions::Now, &self.0);
        if let Err(error) = set {
            tracing::warn!(%error, "the terminal still hides what is typed");
        }
    }
}
