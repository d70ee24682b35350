//! `dovetail roles`: who may call what, as the servers of this build hold it.

use wire::roles::{Role, TABLE};

/// Prints the table.
pub fn run() {
    host::output::write(format_args!("{}", table()));
}

/// A line for each method, a column for each role.
fn table() -> String {
    let mut lines = vec![line("", Role::ALL.map(Role::as_str))];
    let mut service = "";
    for row in TABLE {
        if row.service != service {
            service = row.service;
            lines.push(format!("\n{service}\n"));
        }
        let marks = Role::ALL.map(|role| if row.callers.contains(&role) { "yes" } else { "-" });
        lines.push(line(row.method, marks));
    }
    lines.push("\nHealth is told to every certificate of the network's authority.\n".to_owned());
    lines.concat()
}

fn line(method: &str, marks: [&str; Role::ALL.len()]) -> String {
    let marks = marks.map(|mark| format!("{mark:<12}")).concat();
    format!("  {}\n", format!("{method:<22}{marks}").trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_shown() {
        let shown = table();
        for row in TABLE {
            assert!(shown.contains(row.service) && shown.contains(row.method), "{row:?}\n{shown}");
        }
        let abort = shown.lines().find(|line| line.contains("RequestAbort")).unwrap();
        assert_eq!(abort.split_whitespace().collect::<Vec<_>>(), ["RequestAbort", "yes", "yes", "-", "-", "-"]);
    }
}
