//! `completions` and `man`: from the command line's definition, so that they can't say anything else.

use anyhow::{Context, Result};
use clap::CommandFactory;
use clap_complete::Shell;
use clap_mangen::Man;

use super::arguments::Arguments;

/// Completions for this shell, to be sourced or put where it looks for them.
pub(super) fn completions(shell: Shell) -> String {
    let mut command = Arguments::command();
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut command, "handoffd", &mut text);
    String::from_utf8_lossy(&text).into_owned()
}

/// The man page in roff, section 1: the command, then each subcommand of it.
pub(super) fn man() -> Result<String> {
    let mut command = Arguments::command();
    command.build();
    let mut text = Vec::new();
    Man::new(command.clone()).render(&mut text).context("cannot write the man page")?;
    subcommands(&command, &mut text)?;
    String::from_utf8(text).context("the man page is no UTF-8")
}

/// Their own headings would begin new pages: only what follows those is taken.
fn subcommands(command: &clap::Command, text: &mut Vec<u8>) -> Result<()> {
    for subcommand in command.get_subcommands().filter(|subcommand| subcommand.get_name() != "help") {
        let page = Man::new(subcommand.clone());
        let name = subcommand.get_bin_name().unwrap_or_else(|| subcommand.get_name()).to_uppercase();
        text.extend(format!(".SH \"{name}\"\n").bytes());
        page.render_description_section(text).context("cannot write the man page")?;
        if subcommand.get_arguments().next().is_some() {
            page.render_options_section(text).context("cannot write the man page")?;
        }
        subcommands(subcommand, text)?;
    }
    Ok(())
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
        for option in ["--config", "--dry-run", "--organization", "--patch", "HANDOFFD_CONFIG"] {
            assert!(text.contains(option), "{option}");
        }
    }
}
