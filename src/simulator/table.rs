//! Definition of a table, its columns and the values they accept.

use std::collections::HashMap;

/// Definition of a table.
#[derive(Clone, Debug)]
pub(super) struct Table {
    /// Entity set name: `incidents`.
    pub set: String,
    /// Logical name: `incident`.
    pub logical: String,
    /// Schema name: `Incident`.
    pub schema_name: String,
    /// Display name: `Case`.
    pub display: String,
    /// Part of privilege names: `Incident` in `prvCreateIncident`.
    pub privilege: String,
    /// Object type code, quoted in error texts.
    pub type_code: u32,
    /// Primary key column.
    pub key: String,
    /// Primary name column.
    pub name: String,
    /// Columns in the order of an answer.
    pub columns: Vec<Column>,
    /// Lookups, by navigation property.
    pub links: Vec<Navigation>,
    /// Columns with an index.
    pub indexed: Vec<&'static str>,
    by_name: HashMap<String, usize>,
}

/// Definition of a column.
#[derive(Clone, Debug)]
pub(super) struct Column {
    /// Name in bodies and queries: `title`, `_customerid_value`.
    pub name: String,
    /// Values the column accepts.
    pub kind: ColumnKind,
    /// Writer of the column.
    pub written: Written,
}

/// Values a column accepts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum ColumnKind {
    /// Primary key.
    Key,
    /// One line of at most this many UTF-16 units.
    Text(usize),
    /// Several lines of at most this many UTF-16 units in total.
    Memo(usize),
    /// Whole number in this range.
    Whole(i64, i64),
    /// One of these options.
    Choice(Vec<(i64, &'static str)>),
    /// Boolean.
    Flag,
    /// Point in time.
    Time,
    /// Key of another row, written through the navigation property.
    Lookup,
    /// Base64-encoded file.
    File,
    /// Any JSON object.
    Open,
    /// `statecode`, with the status codes of each state.
    State(Vec<(i64, &'static str, Vec<i64>)>),
    /// `statuscode`.
    Status,
}

/// Writer of a column.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Written {
    /// Any caller that creates or changes the row.
    Freely,
    /// The system; values in requests are ignored.
    BySystem,
}

/// Navigation property.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Navigation {
    /// Name: `customerid_contact`.
    pub property: String,
    /// Lookup: `customerid`, which is read as `_customerid_value`.
    pub lookup: String,
    /// Entity set of the rows it accepts.
    pub target: &'static str,
}

impl Navigation {
    /// Returns the name under which the lookup is read: `_customerid_value`.
    pub(super) fn column(&self) -> String {
        format!("_{}_value", self.lookup)
    }
}

impl Table {
    /// Returns a column by its name in bodies and queries.
    pub(super) fn column(&self, name: &str) -> Option<&Column> {
        self.by_name.get(name).map(|&at| &self.columns[at])
    }

    /// Returns a column by a name that `$select` and `$filter` accept; a lookup has two such names.
    pub(super) fn queried(&self, name: &str) -> Option<&Column> {
        self.column(name).or_else(|| {
            let column = self.column(&format!("_{name}_value"))?;
            (column.kind == ColumnKind::Lookup).then_some(column)
        })
    }

    /// Returns a link by navigation property, case-sensitively.
    pub(super) fn link(&self, navigation: &str) -> Option<&Navigation> {
        self.links.iter().find(|link| link.property == navigation)
    }

    /// Creates a table with only its key and the columns common to all tables.
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
            .column_of(key, ColumnKind::Key, Written::Freely)
            .system("createdon", ColumnKind::Time)
            .system("modifiedon", ColumnKind::Time)
            .system("versionnumber", ColumnKind::Whole(0, i64::MAX))
            .with("overriddencreatedon", ColumnKind::Time)
            .with("importsequencenumber", ColumnKind::Whole(i64::from(i32::MIN), i64::from(i32::MAX)))
    }

    /// Sets the object type code.
    pub(super) fn coded(mut self, type_code: u32) -> Self {
        self.type_code = type_code;
        self
    }

    /// Sets the display name and the name in privileges, where they differ from the schema name.
    pub(super) fn called(mut self, display: &str, privilege: &str) -> Self {
        self.display = display.into();
        self.privilege = privilege.into();
        self
    }

    /// Adds a column that callers write.
    pub(super) fn with(self, name: &str, kind: ColumnKind) -> Self {
        self.column_of(name, kind, Written::Freely)
    }

    /// Adds a column that the system writes.
    pub(super) fn system(self, name: &str, kind: ColumnKind) -> Self {
        self.column_of(name, kind, Written::BySystem)
    }

    /// Adds text columns of the same length.
    pub(super) fn texts(self, limit: usize, names: &[&str]) -> Self {
        names.iter().fold(self, |table, name| table.with(name, ColumnKind::Text(limit)))
    }

    /// Adds an indexed text column.
    pub(super) fn indexed(self, name: &'static str, limit: usize) -> Self {
        self.with(name, ColumnKind::Text(limit)).found_by(name)
    }

    /// Adds an index of this column.
    pub(super) fn found_by(mut self, name: &'static str) -> Self {
        self.indexed.push(name);
        self
    }

    /// Adds a lookup. Several may share one column.
    pub(super) fn linked(mut self, navigation: &str, lookup: &str, target: &'static str) -> Self {
        let column = format!("_{lookup}_value");
        self.links.push(Navigation { property: navigation.into(), lookup: lookup.into(), target });
        if self.column(&column).is_some() {
            return self;
        }
        self.column_of(&column, ColumnKind::Lookup, Written::Freely)
    }

    /// Adds `statecode` and `statuscode`.
    pub(super) fn states(self, states: Vec<(i64, &'static str, Vec<i64>)>) -> Self {
        self.with("statecode", ColumnKind::State(states)).with("statuscode", ColumnKind::Status)
    }

    fn column_of(mut self, name: &str, kind: ColumnKind, written: Written) -> Self {
        self.by_name.insert(name.into(), self.columns.len());
        self.columns.push(Column { name: name.into(), kind, written });
        self
    }
}

impl ColumnKind {
    /// Returns the OData type, named in error texts.
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
