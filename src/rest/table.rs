//! A table of customers as JSON.

use serde::Serialize;

use super::response::{id_value, json_value, write};
use crate::tracker::{Columns, ExportedCustomer};

/// The columns of a table.
pub(super) struct Table {
    /// The types of IDs, each with whether it is soft.
    pub(super) kinds: Vec<(String, bool)>,
    /// The columns of properties.
    pub(super) columns: Columns,
}

#[derive(Serialize)]
struct TableResponse<'a> {
    success: bool,
    fields: Vec<Field<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    header: Option<Vec<&'a str>>,
    data: [(); 0],
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Field<'a> {
    Id { id: &'a str },
    Property { property: &'a str },
    Properties { properties: &'a str },
}

/// The end of a table.
pub(super) const END: &str = "]}";

/// The column that properties without a column of their own share.
const OTHERS: &str = "others";

impl Table {
    /// The names of the columns.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        let ids = self.kinds.iter().map(|(kind, _)| kind.as_str());
        let names = self.columns.names.iter().map(String::as_str);
        let others = self.columns.others.then_some(OTHERS);
        ids.chain(names).chain(others)
    }

    /// The table up to its first row. With `named`, the names of the columns stand in a list of their own, too.
    pub(super) fn head(&self, named: bool) -> Vec<u8> {
        let ids = self.kinds.iter().map(|(kind, _)| Field::Id { id: kind });
        let names = self.columns.names.iter();
        let names = names.map(|name| Field::Property { property: name });
        let others = Field::Properties { properties: OTHERS };
        let others = self.columns.others.then_some(others);
        let response = TableResponse {
            success: true,
            fields: ids.chain(names).chain(others).collect(),
            header: named.then(|| self.names().collect()),
            data: [],
        };
        let mut out = Vec::new();
        write(&mut out, &response);
        out.truncate(out.len() - END.len());
        out
    }

    /// Appends a customer's row.
    pub(super) fn row(&self, out: &mut Vec<u8>, customer: &ExportedCustomer) {
        out.push(b'[');
        self.cells(out, customer, b", ", |out, cell| out.extend(cell));
        out.push(b']');
    }

    /// Appends a customer's cells, in the order of the columns. `write_cell` appends one, which it gets as JSON.
    pub(super) fn cells(
        &self,
        out: &mut Vec<u8>,
        customer: &ExportedCustomer,
        separator: &[u8],
        write_cell: impl Fn(&mut Vec<u8>, &[u8]),
    ) {
        let mut is_first = true;
        let mut add = |cell: &[u8]| {
            if !std::mem::take(&mut is_first) {
                out.extend(separator);
            }
            write_cell(out, cell);
        };
        let mut cell = Vec::new();
        for (kind, soft) in &self.kinds {
            cell.clear();
            let values = customer.ids.iter().find(|id| id.kind == *kind);
            match values.map(|id| id.values.as_slice()) {
                None if !soft => cell.extend(b"null"),
                values => id_value(&mut cell, *soft, values.unwrap_or_default()),
            }
            add(&cell);
        }
        // Columns and properties are sorted by name.
        let mut properties = customer.properties.entries().peekable();
        for name in &self.columns.names {
            cell.clear();
            while properties
                .next_if(|(found, _)| *found < name.as_str())
                .is_some()
            {}
            match properties.next_if(|(found, _)| found == name) {
                Some((_, value)) => json_value(&mut cell, value),
                None => cell.extend(b"null"),
            }
            add(&cell);
        }
        if self.columns.others {
            cell.clear();
            let entries = customer.properties.entries();
            let others = entries.filter(|(name, _)| !self.columns.names.contains(*name));
            for (index, (name, value)) in others.enumerate() {
                cell.push(if index == 0 { b'{' } else { b',' });
                write(&mut cell, name);
                cell.push(b':');
                json_value(&mut cell, value);
            }
            cell.extend(if cell.is_empty() { "null" } else { "}" }.as_bytes());
            add(&cell);
        }
    }
}
