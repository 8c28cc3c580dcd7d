//! What tables there are, and what their columns take.

use std::collections::HashMap;

use super::settings::Settings;
use super::tables;

/// All tables of an environment.
pub(super) struct Schema {
    tables: Vec<Table>,
    by_set: HashMap<String, usize>,
}

/// One table.
#[derive(Clone, Debug)]
pub(super) struct Table {
    /// Entity set name: `incidents`.
    pub set: String,
    /// Logical name: `incident`.
    pub logical: String,
    /// Schema name: `Incident`.
    pub schema_name: String,
    /// The name people see: `Case`.
    pub display: String,
    /// Its part of privileges' names: `Incident` in `prvCreateIncident`.
    pub privilege: String,
    /// Object type code, as error texts quote it.
    pub type_code: u32,
    /// Primary key column.
    pub key: String,
    /// Primary name column.
    pub name: String,
    /// In the order in which an answer lists them.
    pub columns: Vec<Column>,
    /// Lookups, by navigation property.
    pub links: Vec<Link>,
    /// Columns that are found without a scan.
    pub indexed: Vec<&'static str>,
    by_name: HashMap<String, usize>,
}

/// One column.
#[derive(Clone, Debug)]
pub(super) struct Column {
    /// As in bodies and queries: `title`, `_customerid_value`.
    pub name: String,
    /// What it takes.
    pub kind: Kind,
    /// Who writes it.
    pub written: Written,
}

/// What a column takes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// The primary key.
    Key,
    /// One line, at most so many UTF-16 units.
    Text(usize),
    /// Several lines, at most so many UTF-16 units.
    Memo(usize),
    /// A whole number between these.
    Whole(i64, i64),
    /// One of these.
    Choice(Vec<(i64, &'static str)>),
    /// true or false.
    Flag,
    /// A moment.
    Time,
    /// The key of another row; written by its navigation property.
    Lookup,
    /// Base64.
    File,
    /// Any JSON object.
    Open,
    /// `statecode`, with each state's status codes.
    State(Vec<(i64, &'static str, Vec<i64>)>),
    /// `statuscode`.
    Status,
}

/// Who writes a column.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Written {
    /// Whoever creates or changes the row.
    Freely,
    /// The system; what a request says about it is ignored.
    BySystem,
}

/// One navigation property.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Link {
    /// `customerid_contact`
    pub navigation: String,
    /// `customerid`; it is read as `_customerid_value`.
    pub lookup: String,
    /// Entity set of the rows it takes.
    pub target: &'static str,
}

impl Schema {
    /// The tables these settings leave.
    pub(super) fn of(settings: &Settings) -> Self {
        let tables: Vec<Table> =
            tables::all(settings).into_iter().filter(|table| !settings.missing_tables.contains(&table.set)).collect();
        let by_set = tables.iter().enumerate();
        Self { by_set: by_set.map(|(at, table)| (table.set.clone(), at)).collect(), tables }
    }

    /// By entity set name.
    pub(super) fn table(&self, set: &str) -> Option<&Table> {
        self.by_set.get(set).map(|&at| &self.tables[at])
    }

    /// By logical name.
    pub(super) fn logical(&self, name: &str) -> Option<&Table> {
        self.tables.iter().find(|table| table.logical == name)
    }

    /// All of them.
    pub(super) fn tables(&self) -> &[Table] {
        &self.tables
    }
}

impl Link {
    /// As it is read: `_customerid_value`.
    pub(super) fn column(&self) -> String {
        format!("_{}_value", self.lookup)
    }
}

impl Table {
    /// By the name it has in bodies and queries.
    pub(super) fn column(&self, name: &str) -> Option<&Column> {
        self.by_name.get(name).map(|&at| &self.columns[at])
    }

    /// As `$select` and `$filter` may name it: a lookup goes by both of its names.
    pub(super) fn queried(&self, name: &str) -> Option<&Column> {
        self.column(name).or_else(|| {
            let column = self.column(&format!("_{name}_value"))?;
            (column.kind == Kind::Lookup).then_some(column)
        })
    }

    /// By navigation property, whose case counts.
    pub(super) fn link(&self, navigation: &str) -> Option<&Link> {
        self.links.iter().find(|link| link.navigation == navigation)
    }

    /// A table without columns but its key and what every table has.
    pub(super) fn new(set: &str, schema_name: &str, key: &str, name: &str) -> Self {
        let table = Self {
            set: set.into(),
            logical: schema_name.to_lowercase(),
            schema_name: schema_name.into(),
            display: schema_name.into(),
            privilege: schema_name.into(),
            type_code: 10_000,
            key: key.into(),
            name: name.into(),
            columns: Vec::new(),
            links: Vec::new(),
            indexed: Vec::new(),
            by_name: HashMap::new(),
        };
        table
            .column_of(key, Kind::Key, Written::Freely)
            .system("createdon", Kind::Time)
            .system("modifiedon", Kind::Time)
            .system("versionnumber", Kind::Whole(0, i64::MAX))
            .with("overriddencreatedon", Kind::Time)
            .with("importsequencenumber", Kind::Whole(i64::from(i32::MIN), i64::from(i32::MAX)))
    }

    /// The object type code.
    pub(super) fn coded(mut self, type_code: u32) -> Self {
        self.type_code = type_code;
        self
    }

    /// The name people see and the name privileges use, where they differ from the schema name.
    pub(super) fn called(mut self, display: &str, privilege: &str) -> Self {
        self.display = display.into();
        self.privilege = privilege.into();
        self
    }

    /// A column that anyone writes.
    pub(super) fn with(self, name: &str, kind: Kind) -> Self {
        self.column_of(name, kind, Written::Freely)
    }

    /// A column that the system writes.
    pub(super) fn system(self, name: &str, kind: Kind) -> Self {
        self.column_of(name, kind, Written::BySystem)
    }

    /// Columns of text of one length.
    pub(super) fn texts(self, limit: usize, names: &[&str]) -> Self {
        names.iter().fold(self, |table, name| table.with(name, Kind::Text(limit)))
    }

    /// A text column that a filter finds without a scan.
    pub(super) fn indexed(self, name: &'static str, limit: usize) -> Self {
        self.with(name, Kind::Text(limit)).found_by(name)
    }

    /// Keeps an index of this column.
    pub(super) fn found_by(mut self, name: &'static str) -> Self {
        self.indexed.push(name);
        self
    }

    /// A lookup; several may share one column.
    pub(super) fn linked(mut self, navigation: &str, lookup: &str, target: &'static str) -> Self {
        let column = format!("_{lookup}_value");
        self.links.push(Link { navigation: navigation.into(), lookup: lookup.into(), target });
        if self.column(&column).is_some() {
            return self;
        }
        self.column_of(&column, Kind::Lookup, Written::Freely)
    }

    /// `statecode` and `statuscode`.
    pub(super) fn states(self, states: Vec<(i64, &'static str, Vec<i64>)>) -> Self {
        self.with("statecode", Kind::State(states)).with("statuscode", Kind::Status)
    }

    fn column_of(mut self, name: &str, kind: Kind, written: Written) -> Self {
        self.by_name.insert(name.into(), self.columns.len());
        self.columns.push(Column { name: name.into(), kind, written });
        self
    }
}

impl Kind {
    /// Its OData type, as error texts name it.
    pub(super) fn edm(&self) -> &'static str {
        match self {
            Self::Key | Self::Lookup => "Edm.Guid",
            Self::Text(_) | Self::Memo(_) => "Edm.String",
            Self::Whole(..) | Self::Choice(_) | Self::State(_) | Self::Status => "Edm.Int32",
            Self::Flag => "Edm.Boolean",
            Self::Time => "Edm.DateTimeOffset",
            Self::File => "Edm.Binary",
            Self::Open => "Microsoft.Dynamics.CRM.expando",
        }
    }
}
