//! `completions` and `man`, generated from the command line's definition so that they always match it.

use anyhow::{Context, Result};
use clap::{Command, CommandFactory};
use clap_complete::Shell;
use clap_mangen::Man;

use super::arguments::Arguments;

/// Completions for a shell, to be sourced or installed.
pub(super) fn completions(shell: Shell) -> String {
    let mut command = Arguments::command();
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut command, "handoffd", &mut text);
    String::from_utf8_lossy(&text).into_owned()
}

/// Man page in roff, section 1: the command, then each of its subcommands.
pub(super) fn man() -> Result<String> {
    let mut command = Arguments::command();
    command.build();
    let mut text = roff(|page| Man::new(command.clone()).render(page))?;
    // Subcommands are sections of this page, without pages of their own.
    text = text.lines().map(|line| section_of(line) + "\n").collect();
    text.push_str(".SH COMMANDS\n");
    subcommands(&command, &mut text)?;
    text.push_str(EXTRA_SECTIONS);
    Ok(text)
}

/// Sections that the command line's definition does not contain.
const EXTRA_SECTIONS: &str = r".SH ENVIRONMENT
.TP
\fBHANDOFFD_CONFIG\fR
Configuration file, unless \-\-config is given.
.TP
\fBHANDOFFD_\fISECTION\fB__\fIKEY\fR
Configuration key in upper case; overrides the file.
.SH EXIT STATUS
0 on success, 1 on failure, 2 on a usage or configuration error, 3 if nothing matches, 4 if \fBstatus\fR finds the worker
degraded.
";

fn subcommands(command: &Command, text: &mut String) -> Result<()> {
    for subcommand in command.get_subcommands().filter(|subcommand| subcommand.get_name() != "help") {
        let page = Man::new(with_own_options(subcommand.clone()));
        let name = subcommand.get_bin_name().unwrap_or_else(|| subcommand.get_name());
        text.extend([".SS \"", name, "\"\n"]);
        let sections =
            roff(|text| page.render_description_section(text).and_then(|()| page.render_options_section(text)))?;
        let heading = |line: &&str| !line.starts_with(".SH ") && !line.starts_with(".ie ") && !line.starts_with(".el ");
        text.extend(sections.lines().filter(heading).map(|line| format!("{line}\n")));
        subcommands(subcommand, text)?;
    }
    Ok(())
}

/// Hides the options common to every command, which are documented once.
fn with_own_options(command: Command) -> Command {
    let common: Vec<_> = command.get_arguments().map(|argument| argument.get_id().clone()).collect();
    let common = common.into_iter().filter(|id| ["config", "help", "version"].contains(&id.as_str()));
    common.fold(command, |command, id| command.mut_arg(id, |argument| argument.hide(true)))
}

/// Rewrites a page reference of the list of subcommands (`handoffd\-run(1)`) to the name of the command.
fn section_of(line: &str) -> String {
    match line.strip_suffix("(1)").filter(|name| name.starts_with("handoffd\\-")) {
        Some(name) => format!("\\fB{}\\fR", name.replacen("\\-", " ", 1)),
        None => line.to_owned(),
    }
}

fn roff(write: impl FnOnce(&mut Vec<u8>) -> std::io::Result<()>) -> Result<String> {
    let mut text = Vec::new();
    write(&mut text).context("cannot write the man page")?;
    String::from_utf8(text).context("the man page is not UTF-8")
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;

    /// Every subcommand of every level.
    fn names(command: &clap::Command) -> Vec<String> {
        let own = command.get_subcommands().filter(|subcommand| subcommand.get_name() != "help");
        own.flat_map(|it| std::iter::once(it.get_name().to_owned()).chain(names(it))).collect()
    }

    #[test]
    fn every_shell_completes_every_subcommand() {
        for shell in Shell::value_variants() {
            let text = completions(*shell);
            for name in names(&Arguments::command()) {
                assert!(text.contains(&name), "{shell}: {name}");
            }
        }
    }

    #[test]
    fn the_man_page_has_every_subcommand_and_option() {
        let text = man().expect("a page").replace("\\-", "-");
        assert!(text.contains(".TH handoffd 1"), "{}", &text[..200]);
        for name in names(&Arguments::command()) {
            assert!(text.to_lowercase().contains(&name), "{name}");
        }
        assert!(!text.contains("handoffd-run(1)"), "no such page exists");
        for option in ["--config", "--dry-run", "--organization", "--patch", "HANDOFFD_CONFIG"] {
            assert!(text.contains(option), "{option}");
        }
    }
}
