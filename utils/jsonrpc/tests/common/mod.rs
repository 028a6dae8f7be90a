//! A client that is a list of reads, and methods to call.

use std::io;
use std::time::Duration;

use jsonrpc::budget::{BUDGET, Budget};
use jsonrpc::connection::Connection;
use jsonrpc::session::serve;
use jsonrpc::{Call, Methods};
use rpcplugin::{Code, Error, Json, Params};
use serde_json::Value;

/// The methods of the specification's examples, and a few more.
pub(crate) struct Examples;

impl Methods for Examples {
    fn call(
        &mut self,
        _call: &mut Call<'_>,
        method: &str,
        params: Option<&str>,
    ) -> Result<Json, Error> {
        let values: Value = match params {
            Some(text) => serde_json::from_str(text).map_err(|_| Error::of(Code::InvalidParams))?,
            None => Value::Null,
        };
        let number = |index: usize, name: &str| {
            let value = values.get(index).or(values.get(name));
            value
                .and_then(Value::as_i64)
                .ok_or_else(|| Error::of(Code::InvalidParams))
        };
        match method {
            "subtract" => Ok(Json::of(
                &(number(0, "minuend")? - number(1, "subtrahend")?),
            )),
            "sum" => Ok(Json::of(
                &(number(0, "a")? + number(1, "b")? + number(2, "c")?),
            )),
            "get_data" => Ok(Json::parse("[\"hello\", 5]").expect("JSON")),
            "update" | "notify_sum" | "notify_hello" => Ok(Json::of("not to be sent")),
            "echo" => Ok(Json::parse(Params::new(params).text().unwrap_or("null")).expect("JSON")),
            "length" => Ok(Json::of(&values[0].as_str().map(str::len))),
            "mebibyte" => Ok(Json::of(&"x".repeat(1024 * 1024))),
            _ => Err(Error::of(Code::MethodNotFound)),
        }
    }
}

/// What a session writes, write by write, when the reads return these bytes.
pub(crate) fn session(reads: &[&[u8]]) -> Vec<Vec<u8>> {
    let mut client = Client {
        reads: reads.iter().map(|read| read.to_vec()).collect(),
        at: 0,
        writes: vec![],
    };
    serve(&mut client, &mut Examples, &Budget::new(BUDGET)).expect("this client does not fail");
    client.writes
}

/// The same as text.
pub(crate) fn answers(reads: &[&[u8]]) -> Vec<String> {
    let text = |write: Vec<u8>| String::from_utf8(write).expect("answers are UTF-8");
    session(reads).into_iter().map(text).collect()
}

struct Client {
    reads: Vec<Vec<u8>>,
    at: usize,
    writes: Vec<Vec<u8>>,
}

impl Connection for Client {
    fn receive(&mut self, buffer: &mut [u8], _time: Option<Duration>) -> io::Result<Option<usize>> {
        let Some(read) = self.reads.get_mut(self.at) else {
            return Ok(None);
        };
        let length = read.len().min(buffer.len());
        buffer[..length].copy_from_slice(&read[..length]);
        read.drain(..length);
        if read.is_empty() {
            self.at += 1;
        }
        Ok(Some(length))
    }

    fn send(&mut self, answer: &[u8]) -> io::Result<()> {
        self.writes.push(answer.to_vec());
        Ok(())
    }
}
