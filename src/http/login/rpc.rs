//! Users and passwords of websocket_jsonrpc with authrpc (`type = "rpc"`): its method `auth` checks
//! them, over a socket of its own for each check (JSON-RPC 2.0; websocket_jsonrpc(1)).

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use super::credentials::Credentials;
use super::json::{Json, quoted};
use super::passwords::Check;
use super::socket::{Socket, address};
use crate::config::Target;
use crate::http::proxy;
use crate::http::refusal::Refusal;
use crate::system::reason::reason;

/// Longest answer, in bytes (our limit).
const MAX_ANSWER: usize = 16 << 10;

/// What authrpc says where user or password is wrong.
const WRONG: &str = "user or password not found";

/// A server that checks passwords.
pub(super) struct Rpc {
    target: Target,
    /// Each connection begins with a PROXY header.
    tells_address: bool,
}

impl Rpc {
    /// Asks the server at `target`, and tells it the client's address if `tells_address`.
    pub(super) fn new(target: &Target, tells_address: bool) -> Self {
        Self {
            target: target.clone(),
            tells_address,
        }
    }

    /// Has a user and password checked: the user's groups, or `None` if one of them is wrong.
    ///
    /// # Errors
    /// `LoginUnavailable`: why nobody knows.
    pub(super) fn check(&self, check: &Check) -> Result<Option<Vec<String>>, Refusal> {
        self.verify(check.credentials, check.source, check.deadline)
            .map_err(|why| Refusal::LoginUnavailable(format!("{}: {why}", address(&self.target))))
    }

    fn verify(
        &self,
        credentials: &Credentials,
        source: Option<IpAddr>,
        deadline: Instant,
    ) -> Result<Option<Vec<String>>, String> {
        // It would take them for missing.
        if credentials.user.is_empty() || credentials.password.is_empty() {
            return Ok(None);
        }
        let answer =
            self.ask(credentials, source, deadline)
                .map_err(|error| match error.kind() {
                    io::ErrorKind::TimedOut => "no answer came in time".to_owned(),
                    io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => {
                        format!("it left without an answer{}", self.cure())
                    }
                    _ => reason(&error).to_string(),
                })?;
        self.judge(&answer)
    }

    /// Sends the call and reads the answer, which ends where its JSON does.
    fn ask(
        &self,
        credentials: &Credentials,
        source: Option<IpAddr>,
        deadline: Instant,
    ) -> io::Result<Json> {
        let socket = Socket::connect(&self.target, deadline)?;
        if self.tells_address {
            let source = source.map(|ip| SocketAddr::new(ip, 0));
            socket.send(&proxy::header(source, None, &[]), deadline)?;
        }
        let call = format!(
            "{{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"auth\",\"params\":{{\"user\":{},\"passwd\":{}}}}}\n",
            quoted(&credentials.user),
            quoted(&credentials.password),
        );
        socket.send(call.as_bytes(), deadline)?;
        let (mut buffer, mut filled) = (vec![0; MAX_ANSWER], 0);
        loop {
            match socket.receive(&mut buffer[filled..], deadline)? {
                0 if filled == MAX_ANSWER => {
                    return Err(io::Error::other("its answer is too long"));
                }
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => filled += count,
            }
            let text = str::from_utf8(&buffer[..filled]).unwrap_or_default();
            if let Some(answer) = Json::parse(text.trim_end_matches(['\0', '\n'])) {
                return Ok(answer);
            }
        }
    }

    fn judge(&self, answer: &Json) -> Result<Option<Vec<String>>, String> {
        if let Some(result @ Json::Object(_)) = answer.member("result") {
            let group = result.member("group").and_then(Json::text);
            return Ok(Some(super::file::groups(group.unwrap_or_default())));
        }
        let error = answer.member("error");
        match error
            .and_then(|error| error.member("message"))
            .and_then(Json::text)
        {
            Some(WRONG) => Ok(None),
            Some(message) => Err(format!(
                "it answers '{}'{}",
                common::Escaped(message),
                self.cure()
            )),
            None => Err(format!(
                "its answer is no result and no error{}",
                self.cure()
            )),
        }
    }

    /// What may help where the two do not understand each other.
    fn cure(&self) -> &'static str {
        match self.tells_address {
            true => " (it needs the option -P, or auth here proxy = \"none\")",
            false => " (auth here needs proxy = \"v2\" if it has the option -P)",
        }
    }
}

#[cfg(test)]
mod tests;
