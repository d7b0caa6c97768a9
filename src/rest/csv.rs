//! A table of customers as lines of text (RFC 4180).

use super::table::Table;
use crate::tracker::ExportedCustomer;

/// The line with the names of the columns.
pub(super) fn head(table: &Table) -> Vec<u8> {
    let mut out = Vec::new();
    for (index, name) in table.names().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        text(&mut out, name);
    }
    out.extend(b"\r\n");
    out
}

/// A customer's line. A text stands as it is, nothing stands for null, and anything else is JSON.
pub(super) fn row(out: &mut Vec<u8>, table: &Table, customer: &ExportedCustomer) {
    table.cells(out, customer, b",", |out, cell| match cell {
        b"null" => {}
        [b'"', ..] => {
            let cell: String = serde_json::from_slice(cell).unwrap_or_default();
            text(out, &cell);
        }
        _ => text(out, &String::from_utf8_lossy(cell)),
    });
    out.extend(b"\r\n");
}

fn text(out: &mut Vec<u8>, text: &str) {
    // Quotes distinguish an empty text from null.
    if !text.is_empty() && !text.contains(['"', ',', '\r', '\n']) {
        return out.extend(text.bytes());
    }
    out.push(b'"');
    out.extend(text.replace('"', "\"\"").bytes());
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_end_a_cell_is_quoted() {
        for (sent, written) in [
            ("a b", "a b"),
            ("", "\"\""),
            ("a,b", "\"a,b\""),
            ("a\r\nb", "\"a\r\nb\""),
            ("\"a\"", "\"\"\"a\"\"\""),
        ] {
            let mut out = Vec::new();
            text(&mut out, sent);
            assert_eq!(String::from_utf8(out).unwrap(), written);
        }
    }
}
