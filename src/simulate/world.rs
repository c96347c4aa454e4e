//! What stands still in the simulated world: repositories with their pipelines, and the JSON that hosts repeat in every body.
//! The same in every simulation, whatever its seed, so that a service that is kept between runs sees the same projects again.

use pipecast_model::Host;
use serde_json::{Value, json};

use crate::simulate::names::{GITHUB_REPOSITORIES, GITLAB_PLANS, GITLAB_PROJECTS, PEOPLE, Plan, WORKFLOWS};

/// A pipeline definition of a repository.
#[derive(Clone, Debug)]
pub struct Definition {
    /// Id at the host. GitLab has none; there it is the project's.
    pub id: i64,
    /// What it runs.
    pub plan: &'static Plan,
}

/// A repository at one of the hosts.
#[derive(Clone, Debug)]
pub struct Repository {
    /// Where it lives.
    pub host: Host,
    /// Id there.
    pub id: i64,
    /// `owner/name`.
    pub full_name: String,
    /// Its page.
    pub url: String,
    /// Default branch.
    pub default_branch: &'static str,
    /// What it runs.
    pub definitions: Vec<Definition>,
    /// The JSON of GitHub's `repository` or GitLab's `project`.
    pub json: String,
}

/// The first `count` repositories of the world, alternating between the hosts. Past the known names they are numbered.
pub fn repositories(count: usize) -> Vec<Repository> {
    (0..count)
        .map(|index| match index % 2 {
            0 => github(index / 2),
            _ => gitlab(index / 2),
        })
        .collect()
}

fn github(index: usize) -> Repository {
    let ([owner, name, language, description], name_suffix) = named(GITHUB_REPOSITORIES, index);
    let name = format!("{name}{name_suffix}");
    let full_name = format!("{owner}/{name}");
    let id = 700_100_001 + 37 * index as i64;
    let default_branch = if index % 3 == 2 { "develop" } else { "main" };
    let owner_id = 9_100_000 + i64::from(owner.as_bytes()[0]);
    let json = github_repository(id, owner, owner_id, &name, language, description, default_branch).to_string();
    let definitions = WORKFLOWS
        .iter()
        .take([4, 2, 3, 1, 3, 2, 1, 4][index % 8])
        .enumerate()
        .map(|(place, plan)| Definition {
            id: 51_000_000 + 10 * index as i64 + place as i64,
            plan,
        })
        .collect();
    Repository {
        host: Host::Github,
        id,
        url: format!("https://github.com/{full_name}"),
        full_name,
        default_branch,
        definitions,
        json,
    }
}

fn gitlab(index: usize) -> Repository {
    let ([namespace, name, _language, description], name_suffix) = named(GITLAB_PROJECTS, index);
    let name = format!("{name}{name_suffix}");
    let full_name = format!("{namespace}/{name}");
    let url = format!("https://gitlab.example.com/{full_name}");
    let id = 4_001 + 13 * index as i64;
    let default_branch = if index % 4 == 3 { "master" } else { "main" };
    let json = json!({
        "id": id,
        "name": name,
        "description": description,
        "web_url": url,
        "avatar_url": null,
        "git_ssh_url": format!("git@gitlab.example.com:{full_name}.git"),
        "git_http_url": format!("{url}.git"),
        "namespace": namespace,
        "visibility_level": 10,
        "path_with_namespace": full_name,
        "default_branch": default_branch,
        "ci_config_path": "",
        "homepage": url,
        "url": format!("git@gitlab.example.com:{full_name}.git"),
        "ssh_url": format!("git@gitlab.example.com:{full_name}.git"),
        "http_url": format!("{url}.git"),
    })
    .to_string();
    Repository {
        host: Host::Gitlab,
        id,
        full_name,
        url,
        default_branch,
        definitions: vec![Definition {
            id,
            plan: &GITLAB_PLANS[index % GITLAB_PLANS.len()],
        }],
        json,
    }
}

fn named(names: &[[&'static str; 4]], index: usize) -> ([&'static str; 4], String) {
    let suffix = match index / names.len() {
        0 => String::new(),
        round => format!("-{}", round + 1),
    };
    (names[index % names.len()], suffix)
}

/// GitHub's JSON of a person.
pub fn github_user(person: usize) -> Value {
    let [login, _name] = PEOPLE[person];
    let kind = if login.ends_with("-bot") { "Bot" } else { "User" };
    account(login, 12_000_000 + person as i64, kind)
}

/// GitLab's JSON of a person.
pub fn gitlab_user(person: usize) -> Value {
    let [username, name] = PEOPLE[person];
    json!({
        "id": 301 + person,
        "name": name,
        "username": username,
        "avatar_url": format!("https://gitlab.example.com/uploads/-/system/user/avatar/{}/avatar.png", 301 + person),
        "email": "[REDACTED]",
    })
}

fn account(login: &str, id: i64, kind: &str) -> Value {
    let api = format!("https://api.github.com/users/{login}");
    json!({
        "login": login,
        "id": id,
        "node_id": format!("U_kgDO{id:x}"),
        "avatar_url": format!("https://avatars.githubusercontent.com/u/{id}?v=4"),
        "gravatar_id": "",
        "url": api,
        "html_url": format!("https://github.com/{login}"),
        "followers_url": format!("{api}/followers"),
        "following_url": format!("{api}/following{{/other_user}}"),
        "gists_url": format!("{api}/gists{{/gist_id}}"),
        "starred_url": format!("{api}/starred{{/owner}}{{/repo}}"),
        "subscriptions_url": format!("{api}/subscriptions"),
        "organizations_url": format!("{api}/orgs"),
        "repos_url": format!("{api}/repos"),
        "events_url": format!("{api}/events{{/privacy}}"),
        "received_events_url": format!("{api}/received_events"),
        "type": kind,
        "user_view_type": "public",
        "site_admin": false,
    })
}

fn github_repository(id: i64, owner: &str, owner_id: i64, name: &str, language: &str, description: &str, default_branch: &str) -> Value {
    let api = format!("https://api.github.com/repos/{owner}/{name}");
    let page = format!("https://github.com/{owner}/{name}");
    let mut repository = json!({
        "id": id,
        "node_id": format!("R_kgDO{id:x}"),
        "name": name,
        "full_name": format!("{owner}/{name}"),
        "private": true,
        "owner": account(owner, owner_id, "Organization"),
        "html_url": page,
        "description": description,
        "fork": false,
        "url": api,
        "created_at": "2023-02-14T09:12:44Z",
        "updated_at": "2026-10-02T07:31:10Z",
        "pushed_at": "2026-10-02T07:31:06Z",
        "git_url": format!("git://github.com/{owner}/{name}.git"),
        "ssh_url": format!("git@github.com:{owner}/{name}.git"),
        "clone_url": format!("{page}.git"),
        "homepage": null,
        "size": 48_213,
        "stargazers_count": 12,
        "language": language,
        "has_issues": true,
        "has_wiki": false,
        "forks_count": 3,
        "archived": false,
        "disabled": false,
        "open_issues_count": 17,
        "license": null,
        "topics": [],
        "visibility": "private",
        "default_branch": default_branch,
        "custom_properties": {},
    });
    // The addresses that a host adds to every repository; they make up most of a real body.
    for (field, path) in [
        ("archive_url", "{archive_format}{/ref}"),
        ("assignees_url", "assignees{/user}"),
        ("blobs_url", "git/blobs{/sha}"),
        ("branches_url", "branches{/branch}"),
        ("collaborators_url", "collaborators{/collaborator}"),
        ("comments_url", "comments{/number}"),
        ("commits_url", "commits{/sha}"),
        ("compare_url", "compare/{base}...{head}"),
        ("contents_url", "contents/{+path}"),
        ("contributors_url", "contributors"),
        ("deployments_url", "deployments"),
        ("downloads_url", "downloads"),
        ("events_url", "events"),
        ("git_commits_url", "git/commits{/sha}"),
        ("git_refs_url", "git/refs{/sha}"),
        ("hooks_url", "hooks"),
        ("issues_url", "issues{/number}"),
        ("keys_url", "keys{/key_id}"),
        ("labels_url", "labels{/name}"),
        ("languages_url", "languages"),
        ("merges_url", "merges"),
        ("milestones_url", "milestones{/number}"),
        ("pulls_url", "pulls{/number}"),
        ("releases_url", "releases{/id}"),
        ("statuses_url", "statuses/{sha}"),
        ("subscribers_url", "subscribers"),
        ("tags_url", "tags"),
        ("teams_url", "teams"),
        ("trees_url", "git/trees{/sha}"),
    ] {
        repository[field] = Value::String(format!("{api}/{path}"));
    }
    repository
}
