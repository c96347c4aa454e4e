//! `prove leaks`: looks through everything that a run of tests has left behind for the secrets that were planted in it.
//! Knows nothing of the tests: they write logs, what operators see, and their secrets into one folder.
//!
//! A secret is looked for as it is, in hexadecimal, and in base64 at each of the three places at which it may begin in what is encoded. Besides
//! the planted ones whatever has the form of a token of ours is a leak, and the mark that all made-up secrets have in them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use aho_corasick::AhoCorasick;
use anyhow::{Context, bail, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use pipecast_model::hexadecimal;

/// Names the folder; tests and processes that they start keep what they say there.
pub const TRACES: &str = "PIPECAST_TEST_TRACES";

/// Stands in every secret that tests make up.
const MARK: &str = "pl4nted";

/// Every kind of secret that has to have been planted.
const KINDS: [&str; 13] = [
    "API token",
    "AMQP password",
    "PostgreSQL password",
    "Redis password",
    "access token",
    "password",
    "recovery code",
    "refresh token",
    "sealing key",
    "second factor",
    "session cookie",
    "ticket",
    "webhook secret",
];

/// The one secret that is printed on purpose: the way to the first admin, once, beside the log of a first start.
const SETUP: &str = "setup token";
/// What that begins with, and what stands beside it.
const SETUP_BEGINS: &str = "pcsu_";
const SETUP_SAYS: [&str; 2] = ["\"setup_token\":", "      pcsu_"];

/// What tokens of ours begin with, and how many letters of theirs follow at least.
const FORMS: [(&str, usize); 4] = [("pcst_", 40), ("pcrt_", 40), (SETUP_BEGINS, 40), ("eyJ", 80)];

/// As many letters of a secret are looked for, its last ones: the rest of it is no use without them, and all of it has them.
const LETTERS: usize = 24;

/// Letters around a leak that are shown. The secret itself is not.
const AROUND: usize = 60;

/// What has to be there at least, so that a run that kept nothing does not pass.
#[derive(Clone, Copy, Debug)]
pub struct Least {
    /// Bytes of logs.
    pub logs: u64,
    /// Bytes of what operators see.
    pub views: u64,
    /// Secrets.
    pub secrets: usize,
    /// Whether every kind of secret has to be among them.
    pub every_kind: bool,
}

/// Of a whole run of the tests; a tenth of what it leaves.
const WHOLE: Least = Least {
    logs: 1 << 20,
    views: 200 << 10,
    secrets: 300,
    every_kind: true,
};

/// Look for planted secrets in what a run of tests has left behind.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The folder that PIPECAST_TEST_TRACES named.
    folder: PathBuf,
    /// Take it that only some of the tests were run.
    #[arg(long)]
    part: bool,
}

/// A secret where none may be.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Leak {
    /// The file.
    pub file: PathBuf,
    /// Its line, from 1 on.
    pub line: usize,
    /// What kind of secret, and how it was written.
    pub what: String,
    /// What stands before it.
    pub before: String,
}

/// What was looked through.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// Secrets by kind.
    pub secrets: BTreeMap<String, usize>,
    /// Files and bytes of logs.
    pub logs: (usize, u64),
    /// Files and bytes of what operators see.
    pub views: (usize, u64),
    /// Setup tokens that were printed on purpose.
    pub setups: usize,
    /// What was found.
    pub leaks: BTreeSet<Leak>,
}

/// Looks through the folder and says what it has found.
///
/// # Errors
/// A leak, or too little to look through.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let least = if args.part { PART } else { WHOLE };
    let look = look(&args.folder)?;
    for (kind, count) in &look.secrets {
        println!("leaks: {count:>6} planted: {kind}");
    }
    println!(
        "leaks: looked through {} logs of {} KiB and {} files of answers of {} KiB; {} setup tokens were printed on purpose",
        look.logs.0,
        look.logs.1 >> 10,
        look.views.0,
        look.views.1 >> 10,
        look.setups
    );
    for leak in look.leaks.iter().take(20) {
        println!("leaks: {}:{}: {} behind {:?}", leak.file.display(), leak.line, leak.what, leak.before);
    }
    judge(&look, least)
}

/// Anything at all.
const PART: Least = Least {
    logs: 1,
    views: 0,
    secrets: 1,
    every_kind: false,
};

fn judge(look: &Look, least: Least) -> anyhow::Result<()> {
    if !look.leaks.is_empty() {
        bail!("{} places show a secret", look.leaks.len());
    }
    let planted: usize = look.secrets.values().sum();
    ensure!(
        look.logs.1 >= least.logs && look.views.1 >= least.views && planted >= least.secrets,
        "too little was left behind to look through: {look:?}; expected at least {least:?}"
    );
    let missing: Vec<_> = KINDS.iter().filter(|kind| !look.secrets.contains_key(**kind)).collect();
    ensure!(!least.every_kind || missing.is_empty(), "none was planted of these kinds: {missing:?}");
    Ok(())
}

/// Looks through a folder.
///
/// # Errors
/// Where it cannot be read.
pub fn look(folder: &Path) -> anyhow::Result<Look> {
    let planted = planted(&folder.join("secrets"))?;
    let mut look = Look::default();
    for (kind, _) in &planted {
        *look.secrets.entry(kind.clone()).or_default() += 1;
    }
    let (patterns, names) = patterns(&planted);
    let search = AhoCorasick::new(&patterns)?;
    for (part, sum) in [("logs", &mut look.logs), ("views", &mut look.views)] {
        for file in files(&folder.join(part))? {
            sum.0 += 1;
            sum.1 += file.metadata()?.len();
            let mut lines = BufReader::new(File::open(&file).with_context(|| format!("cannot read {}", file.display()))?);
            let (mut line, mut number) = (Vec::new(), 0);
            while lines.read_until(b'\n', &mut line)? > 0 {
                number += 1;
                for found in search.find_overlapping_iter(&line) {
                    let what = &names[found.pattern().as_usize()];
                    if !is_form(what, &line[found.start()..]) {
                        continue;
                    }
                    if is_setup(part, what, &line) {
                        look.setups += usize::from(what.kind == FORM);
                        continue;
                    }
                    let before = String::from_utf8_lossy(&line[found.start().saturating_sub(AROUND)..found.start()]).into_owned();
                    look.leaks.insert(Leak {
                        file: file.clone(),
                        line: number,
                        what: format!("{}, {}", what.kind, what.written),
                        before,
                    });
                }
                line.clear();
            }
        }
    }
    Ok(look)
}

/// The kind of what is found by its form alone.
const FORM: &str = "in the form of a token";

/// What a pattern is.
#[derive(Debug)]
struct What {
    kind: String,
    written: String,
    /// Letters of a token that have to follow.
    follow: usize,
}

/// A form is one where enough of it follows; anything else is what it is.
fn is_form(what: &What, text: &[u8]) -> bool {
    let is_letter = |byte: &&u8| byte.is_ascii_alphanumeric() || matches!(**byte, b'_' | b'-' | b'.');
    if what.follow == 0 {
        return true;
    }
    let run: Vec<u8> = text.iter().take_while(is_letter).copied().collect();
    // A signed token has three parts; other JSON in base64 begins like it.
    let is_whole = !what.written.starts_with("eyJ") || run.iter().filter(|byte| **byte == b'.').count() == 2;
    run.len() >= what.follow && is_whole
}

/// The one that is printed on purpose, where it is printed on purpose.
fn is_setup(part: &str, what: &What, line: &[u8]) -> bool {
    let is_one = what.kind == SETUP || (what.kind == FORM && what.written.starts_with(SETUP_BEGINS));
    let text = String::from_utf8_lossy(line);
    part == "logs" && is_one && SETUP_SAYS.iter().any(|says| text.contains(says))
}

/// Every secret, with its kind.
fn planted(folder: &Path) -> anyhow::Result<BTreeSet<(String, String)>> {
    let mut planted = BTreeSet::new();
    for file in files(folder)? {
        for line in std::fs::read_to_string(&file)?.lines() {
            let (kind, secret) = line.split_once('\t').with_context(|| format!("{} has a line without a kind", file.display()))?;
            planted.insert((kind.to_owned(), secret.to_owned()));
        }
    }
    Ok(planted)
}

/// What to look for, and what each of it is.
fn patterns(planted: &BTreeSet<(String, String)>) -> (Vec<Vec<u8>>, Vec<What>) {
    let mut known = BTreeMap::new();
    for (kind, secret) in planted {
        let bytes = secret.as_bytes();
        for (written, pattern) in writings(&bytes[bytes.len().saturating_sub(LETTERS)..]) {
            known.entry(pattern).or_insert_with(|| What {
                kind: kind.clone(),
                written: written.to_owned(),
                follow: 0,
            });
        }
    }
    for (written, pattern) in writings(MARK.as_bytes()) {
        known.entry(pattern).or_insert_with(|| What {
            kind: "what tests made up".to_owned(),
            written: written.to_owned(),
            follow: 0,
        });
    }
    for (begins, follow) in FORMS {
        known.insert(
            begins.as_bytes().to_vec(),
            What {
                kind: FORM.to_owned(),
                written: format!("{begins}…"),
                follow: begins.len() + follow,
            },
        );
    }
    known.into_iter().unzip()
}

/// A text as it may be written.
fn writings(text: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let hex = hexadecimal::write(text);
    let mut writings = vec![("as it is", text.to_vec()), ("in hexadecimal", hex.into_bytes())];
    for place in 0..3 {
        // The letters of base64 that depend on nothing but this text.
        let encoded = STANDARD_NO_PAD.encode([&vec![0; place][..], text].concat());
        let (from, to) = ((place * 8).div_ceil(6), ((place + text.len()) * 8) / 6);
        let certain = &encoded[from..to];
        writings.push(("in base64", certain.as_bytes().to_vec()));
        let url = certain.replace('+', "-").replace('/', "_");
        if url != certain {
            writings.push(("in base64url", url.into_bytes()));
        }
    }
    let percent: String = text.iter().fold(String::new(), |mut percent, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(byte) {
            percent.push(char::from(*byte));
        } else {
            let _ = write!(percent, "%{byte:02X}");
        }
        percent
    });
    if percent.as_bytes() != text {
        writings.push(("percent-encoded", percent.into_bytes()));
    }
    writings
}

fn files(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let entries = std::fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut files: Vec<_> = entries.flatten().map(|entry| entry.path()).filter(|path| path.is_file()).collect();
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests;
