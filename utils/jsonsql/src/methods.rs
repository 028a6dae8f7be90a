//! The four methods. A table is named by its client but looked up in the schema: only the name
//! found there is written into SQL.

use std::borrow::Cow;

use rpcplugin::{Error, Json, Params, Plugin};
use rusqlite::types::Value;
use serde_json::json;
use serde_json::value::RawValue;

use crate::database::{Database, shorten};
use crate::settings::Settings;
use crate::values::Values;

/// The plugin for one client.
pub struct JsonSql {
    database: Database,
}

impl Plugin for JsonSql {
    fn open(config: &str) -> Result<Self, Error> {
        Ok(JsonSql {
            database: Database::open(&Settings::parse(config)?)?,
        })
    }
}

impl JsonSql {
    /// `exec {query, values?}`: an array of rows, or `{message: "Query OK"}` if there are none.
    /// `values` are bound to its parameters.
    ///
    /// # Errors
    /// What SQLite says, or the limit that is reached.
    pub fn exec(&mut self, params: Params<'_>) -> Result<Json, Error> {
        let [query, values] = params.members(["query", "values"])?;
        let query = text("query", query)?;
        let values = Values::parse(values)?;
        let rows = self.database.run(&query, &values)?;
        Ok(if rows.is_empty() {
            Json::of(&json!({"message": "Query OK"}))
        } else {
            rows.into_json()
        })
    }

    /// `list {table}`: its rows. Without a table: the tables and views.
    ///
    /// # Errors
    /// As [`JsonSql::exec`]; or there is no such table.
    pub fn list(&mut self, params: Params<'_>) -> Result<Json, Error> {
        let [table] = params.members(["table"])?;
        let query = match table {
            Some(_) => format!("SELECT * FROM {}", self.table(table)?),
            None => "SELECT name, type FROM sqlite_master
                WHERE type IN ('table', 'view') ORDER BY name"
                .to_string(),
        };
        Ok(self.database.read(&query, &[])?.into_json())
    }

    /// `get {table, id}`: the row with this rowid.
    ///
    /// # Errors
    /// As [`JsonSql::list`]; or there is no such row.
    pub fn get(&mut self, params: Params<'_>) -> Result<Json, Error> {
        let [table, id] = params.members(["table", "id"])?;
        let table = self.table(table)?;
        let id = id.and_then(|id| id.get().parse().ok());
        let id: i64 = id.ok_or_else(|| Error::invalid_params("id is not an integer"))?;
        let query = format!("SELECT * FROM {table} WHERE rowid = ?1");
        let rows = self.database.read(&query, &[Value::Integer(id)])?;
        rows.into_first()
            .ok_or_else(|| Error::failure(format!("no row {id}")))
    }

    /// `view {table}`: its columns, as PRAGMA table_info tells them.
    ///
    /// # Errors
    /// As [`JsonSql::list`].
    pub fn view(&mut self, params: Params<'_>) -> Result<Json, Error> {
        let [table] = params.members(["table"])?;
        let query = format!("PRAGMA table_info({})", self.table(table)?);
        Ok(self.database.read(&query, &[])?.into_json())
    }

    /// The name of the table as the schema has it, quoted for SQL.
    fn table(&self, name: Option<&RawValue>) -> Result<String, Error> {
        let name = text("table", name)?;
        let found = self.database.find_table(&name)?;
        let found =
            found.ok_or_else(|| Error::failure(shorten(&format!("no such table: {name}"))))?;
        Ok(format!("\"{}\"", found.replace('"', "\"\"")))
    }
}

/// The text of a member that must be there.
fn text<'a>(name: &str, value: Option<&'a RawValue>) -> Result<Cow<'a, str>, Error> {
    let text = value.and_then(rpcplugin::text);
    text.ok_or_else(|| Error::invalid_params(&format!("{name} is not a string")))
}
