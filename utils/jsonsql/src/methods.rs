//! The four methods. A table is named by its client but looked up in the
//! schema: only the name found there is written into SQL.

use rpcplugin::{Error, Json, Params, Plugin};
use rusqlite::types::Value;
use serde_json::{Map, Value as JsonValue, json};

use crate::database::Database;
use crate::values::Values;

/// The plugin for one client.
pub struct JsonSql {
    database: Database,
}

impl Plugin for JsonSql {
    fn open(config: &str) -> Result<Self, Error> {
        Ok(JsonSql {
            database: Database::open(config)?,
        })
    }
}

impl JsonSql {
    /// `exec {query, values?}`: an array of rows, or `{message: "Query OK"}`
    /// if the SQL returns none. `values` are bound to its parameters.
    ///
    /// # Errors
    /// What SQLite says, or the limit that is reached.
    pub fn exec(&mut self, params: Params<'_>) -> Result<Json, Error> {
        let params = params.object()?;
        let query = text(&params, "query")?;
        let values = Values::parse(params.get("values"))?;
        Ok(match self.database.run(query, &values)? {
            Some(rows) => Json::of(&rows),
            None => Json::of(&json!({"message": "Query OK"})),
        })
    }

    /// `list {table}`: its rows. Without a table: the tables and views.
    ///
    /// # Errors
    /// As [`JsonSql::exec`]; or there is no such table.
    pub fn list(&mut self, params: Params<'_>) -> Result<Json, Error> {
        let params = params.object()?;
        if !params.contains_key("table") {
            let tables = "SELECT name, type FROM sqlite_master
                WHERE type IN ('table', 'view') ORDER BY name";
            return Ok(Json::of(&self.database.read(tables, &[])?));
        }
        let table = self.table(text(&params, "table")?)?;
        let rows = self.database.read(&format!("SELECT * FROM {table}"), &[])?;
        Ok(Json::of(&rows))
    }

    /// `get {table, id}`: the row with this rowid.
    ///
    /// # Errors
    /// As [`JsonSql::list`]; or there is no such row.
    pub fn get(&mut self, params: Params<'_>) -> Result<Json, Error> {
        let params = params.object()?;
        let table = self.table(text(&params, "table")?)?;
        let id = params.get("id").and_then(JsonValue::as_i64);
        let id = id.ok_or_else(|| Error::invalid_params("id is not an integer"))?;
        let query = format!("SELECT * FROM {table} WHERE rowid = ?1");
        let rows = self.database.read(&query, &[Value::Integer(id)])?;
        let row = rows
            .0
            .first()
            .ok_or_else(|| Error::failure(format!("no row {id}")))?;
        Ok(Json::of(row))
    }

    /// `view {table}`: its columns, as PRAGMA table_info tells them.
    ///
    /// # Errors
    /// As [`JsonSql::list`].
    pub fn view(&mut self, params: Params<'_>) -> Result<Json, Error> {
        let params = params.object()?;
        let table = self.table(text(&params, "table")?)?;
        let rows = self
            .database
            .read(&format!("PRAGMA table_info({table})"), &[])?;
        Ok(Json::of(&rows))
    }

    /// The table's name as the schema has it, quoted for SQL.
    fn table(&self, name: &str) -> Result<String, Error> {
        let query = "SELECT name FROM sqlite_master WHERE type IN ('table', 'view') AND name = ?1";
        let rows = self
            .database
            .read(query, &[Value::Text(name.to_string())])?;
        let found = rows.0.first().and_then(|row| row.text(0));
        let found = found.ok_or_else(|| Error::failure(format!("no such table: {name}")))?;
        Ok(format!("\"{}\"", found.replace('"', "\"\"")))
    }
}

fn text<'a>(params: &'a Map<String, JsonValue>, name: &str) -> Result<&'a str, Error> {
    let text = params.get(name).and_then(JsonValue::as_str);
    text.ok_or_else(|| Error::invalid_params(&format!("{name} is not a string")))
}
