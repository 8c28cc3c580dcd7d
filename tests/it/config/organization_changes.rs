//! Changes of organizations' files while a worker runs.

use super::organizations::{config, id};
use super::site::{ACME, Site, secret};
use handoffd::config::{Config, EnvironmentVariables};
use handoffd::organizations::{self, OrganizationChange, Snapshot};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Effective organizations while the directory changes.
struct World {
    site: Site,
    config: Config,
    snapshot: Snapshot,
}

impl World {
    fn reload(&mut self) -> (Vec<OrganizationChange>, Vec<PathBuf>, String) {
        let loaded = organizations::read(&self.site.directory(), &self.config, &EnvironmentVariables::default());
        let update = self.snapshot.reload(loaded);
        self.snapshot = update.snapshot;
        (update.changes, update.kept, update.faults.to_string())
    }
}

#[test]
fn files_are_added_changed_broken_and_removed() {
    let site = Site::new("");
    let path = PathBuf::from(site.organization("a.toml", ACME));
    let mut world = World { site, config: config("false"), snapshot: Snapshot::default() };
    assert_eq!(world.reload(), (vec![OrganizationChange::Added(id("org_acme"))], vec![], String::new()));
    assert_eq!(world.reload(), (vec![], vec![], String::new()));

    world.site.organization("a.toml", &ACME.replace("pl41n", "r0tated"));
    assert_eq!(world.reload().0, [OrganizationChange::Changed(id("org_acme"))]);

    world.site.organization("a.toml", "organization_id = ");
    let (changes, kept, error) = world.reload();
    assert_eq!((changes, kept), (vec![], vec![path]));
    assert!(error.contains("a.toml:1: "), "{error}");
    assert_eq!(secret(world.snapshot.get(&id("org_acme")).expect("the last good version")), "r0tated");

    std::fs::remove_file(world.site.directory().join("a.toml")).expect("a file");
    assert_eq!(world.reload(), (vec![OrganizationChange::Removed(id("org_acme"))], vec![], String::new()));
    assert!(world.snapshot.is_empty());
}

#[test]
fn a_file_must_be_missing_in_two_readings() {
    let site = Site::new("");
    site.organization("a.toml", ACME);
    let config = config("false");
    let look = || organizations::read(&site.directory(), &config, &EnvironmentVariables::default());
    site.organization("b.toml", &ACME.replace("org_acme", "org_b"));
    let now = Instant::now();
    let first = Snapshot::default().poll(look(), now).snapshot;

    std::fs::remove_file(site.directory().join("a.toml")).expect("a file");
    let missed = first.poll(look(), now);
    assert!(missed.changes.is_empty() && missed.kept.is_empty() && missed.snapshot.len() == 2);

    site.organization("a.toml", ACME);
    let back = missed.snapshot.poll(look(), now);
    assert_eq!((back.changes, &back.snapshot), (vec![], &first));

    std::fs::remove_file(site.directory().join("a.toml")).expect("a file");
    let gone = back.snapshot.poll(look(), now).snapshot.poll(look(), now);
    assert_eq!(gone.changes, [OrganizationChange::Removed(id("org_acme"))]);
    assert_eq!(gone.snapshot.len(), 1);
}

/// An unmounted directory, or one that is being copied.
#[test]
fn files_that_vanish_all_at_once_are_waited_for() {
    let site = Site::new("");
    let write = |name: &str, id: &str| site.organization(name, &ACME.replace("org_acme", id));
    write("a.toml", "org_a");
    write("b.toml", "org_b");
    let config = config("false");
    let look = || organizations::read(&site.directory(), &config, &EnvironmentVariables::default());
    let begin = Instant::now();
    let after = |seconds| begin + Duration::from_secs(seconds);
    let full = Snapshot::default().poll(look(), begin).snapshot;
    for file in ["a.toml", "b.toml"] {
        std::fs::remove_file(site.directory().join(file)).expect("a file");
    }
    let mut empty = full.clone();
    for seconds in [0, 2, 30, 59] {
        let update = empty.poll(look(), after(seconds));
        assert!(update.changes.is_empty() && update.snapshot.len() == 2, "{seconds}");
        empty = update.snapshot;
    }
    // After a minute they are removed; at once on request.
    let both = [OrganizationChange::Removed(id("org_a")), OrganizationChange::Removed(id("org_b"))];
    assert_eq!(empty.poll(look(), after(60)).changes, both);
    assert_eq!(full.reload(look()).changes, both);

    // Half of it is back; the other half is still waited for.
    write("a.toml", "org_a");
    let half = empty.poll(look(), after(58)).snapshot.poll(look(), after(59));
    assert!(half.changes.is_empty() && half.snapshot.len() == 2);
    write("b.toml", "org_b");
    let back = half.snapshot.poll(look(), after(59)).snapshot;
    assert_eq!(back, full, "all is forgotten once all are back");
}

/// A faulty file withholds its own organization only.
#[test]
fn a_file_at_fault_withholds_its_organization_and_no_other() {
    let site = Site::new("");
    site.organization("good.toml", &ACME.replace("org_acme", "org_good"));
    site.organization("secret.toml", &ACME.replace("\"pl41n\"", "{ env = \"NOT_SET\" }"));
    site.organization("bare.toml", "organization_id = \"org_bare\"\ncolour = 1\n");
    site.organization("one.toml", &ACME.replace("org_acme", "org_twice"));
    site.organization("two.toml", &ACME.replace("org_acme", "org_twice"));
    let config = config("false");
    let look = || organizations::read(&site.directory(), &config, &EnvironmentVariables::default());
    let update = Snapshot::default().reload(look());
    assert!(update.snapshot.is_complete() && update.kept.is_empty());
    let why = |organization: &str| {
        let withheld = update.snapshot.get(&id(organization)).expect("known").withheld.clone();
        withheld.map(|withheld| withheld.why).unwrap_or_default()
    };
    assert_eq!(why("org_good"), "");
    assert!(
        why("org_acme").contains("secret.toml:6: client_secret: found { env = \"NOT_SET\" }"),
        "{}",
        why("org_acme")
    );
    assert!(why("org_bare").contains("colour: found an unknown key"), "{}", why("org_bare"));
    assert!(why("org_twice").contains("one file for each organization"), "{}", why("org_twice"));

    // Corrected, then broken again while it is in effect: the last good version stays.
    let path = PathBuf::from(site.organization("secret.toml", ACME));
    let good = update.snapshot.reload(look());
    assert_eq!(good.changes, [OrganizationChange::Changed(id("org_acme"))]);
    site.organization("secret.toml", &ACME.replace("\"pl41n\"", "{ env = \"NOT_SET\" }"));
    let again = good.snapshot.reload(look());
    assert_eq!((again.changes, again.kept), (vec![], vec![path]));
}

#[test]
fn a_file_that_does_not_give_its_organization_makes_the_list_incomplete() {
    let site = Site::new("");
    site.organization("a.toml", ACME);
    let config = config("false");
    let look = || organizations::read(&site.directory(), &config, &EnvironmentVariables::default());
    let first = Snapshot::default().reload(look()).snapshot;
    for broken in
        ["organization_id = ", "organization_id = 5\n", "environment_url = \"x\"\n", "organization_id = \" \"\n"]
    {
        site.organization("b.toml", broken);
        assert!(!first.reload(look()).snapshot.is_complete(), "{broken}");
    }
    std::fs::remove_file(site.directory().join("b.toml")).expect("a file");
    // A file that was valid before is attributed to its organization.
    site.organization("a.toml", "organization_id = ");
    assert!(first.reload(look()).snapshot.is_complete());
    assert!(!Snapshot::default().reload(look()).snapshot.is_complete(), "but not after a restart");
}

#[test]
fn a_second_file_of_an_organization_does_not_block_it() {
    let site = Site::new("");
    site.organization("a.toml", ACME);
    let mut world = World { site, config: config("false"), snapshot: Snapshot::default() };
    world.reload();
    world.site.organization("b.toml", &ACME.replace("pl41n", "other"));
    let (changes, kept, error) = world.reload();
    assert!(changes.is_empty() && kept.len() == 1 && error.contains("one file for each organization"), "{error}");
    std::fs::remove_file(world.site.directory().join("a.toml")).expect("a file");
    assert_eq!(world.reload().0, [OrganizationChange::Changed(id("org_acme"))]);
}

#[test]
fn a_missing_directory_changes_nothing() {
    let site = Site::new("");
    site.organization("a.toml", ACME);
    let mut world = World { site, config: config("false"), snapshot: Snapshot::default() };
    world.reload();
    std::fs::remove_dir_all(world.site.directory()).expect("a directory");
    let (changes, kept, error) = world.reload();
    assert!(changes.is_empty() && kept.len() == 1 && error.contains("organizations.directory"), "{error}");
    assert_eq!(world.snapshot.len(), 1);
}
